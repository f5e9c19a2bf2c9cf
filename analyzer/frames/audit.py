"""The tables read from kube-apiserver audit logs: what happened, what the server noted of it, what the bodies tell."""

from __future__ import annotations

import polars as pl

from analyzer.frames.contract import PLACE, TIME, Col, Table

AUDIT_EVENTS = Table(
    "audit_events",
    "One row per audit event, every stage. One request is one to three events of one audit_id.",
    (
        *PLACE,
        Col("stage_time", TIME, "stageTimestamp; null if absent. `time` is requestReceivedTimestamp."),
        Col("audit_id", pl.String(), "auditID."),
        Col("level", pl.String(), "None, Metadata, Request or RequestResponse."),
        Col("stage", pl.String(), "RequestReceived, ResponseStarted, ResponseComplete or Panic."),
        Col("verb", pl.String(), "Kubernetes verb: get, list, watch, create ..."),
        Col("uri", pl.String(), "requestURI; token-like query values are removed."),
        Col("user", pl.String(), "user.username."),
        Col("impersonated_user", pl.String(), "impersonatedUser.username; null if the caller acts as itself."),
        Col("service_account_namespace", pl.String(), "Namespace in a `user` of system:serviceaccount:; else null."),
        Col("service_account", pl.String(), "Name in a `user` of system:serviceaccount:; null for other callers."),
        Col("node", pl.String(), "Name in a `user` of system:node: (a kubelet); null for other callers."),
        Col("path", pl.String(), "Path of requestURI without its query; null where there is a resource."),
        Col("user_agent", pl.String(), "userAgent as sent."),
        Col("agent", pl.String(), "User agent family: the part before the first `/`; the whole if there is none."),
        Col("controller", pl.String(), "What client-go appends after the commit: the controller; null if nothing."),
        Col("source_ip", pl.String(), "First of sourceIPs, canonical text: the client."),
        Col("last_source_ip", pl.String(), "Last of sourceIPs, canonical text: the peer of the connection."),
        Col("api_group", pl.String(), "objectRef.apiGroup; '' is the core group, null without an object."),
        Col("resource", pl.String(), "objectRef.resource; null for non-resource URLs."),
        Col("subresource", pl.String(), "objectRef.subresource; null if none."),
        Col("namespace", pl.String(), "objectRef.namespace; null if cluster-wide."),
        Col("name", pl.String(), "objectRef.name; null if none."),
        Col("code", pl.Int32(), "responseStatus.code; null before the answer."),
        Col("translated", pl.Boolean(), "Whether `code` was translated from a gRPC code (Google Cloud Logging)."),
        Col("reason", pl.String(), "responseStatus.reason; null if absent."),
        Col("message", pl.String(), "responseStatus.message, at most 512 characters; null if absent."),
        Col("decision", pl.String(), "authorization.k8s.io/decision; null where authorization never ran."),
        Col("decision_reason", pl.String(), "authorization.k8s.io/reason, at most 512 characters; null if empty."),
        Col("latency_total_seconds", pl.Float64(), "apiserver.latency.k8s.io/total; null below 500 ms."),
        Col("latency_etcd_seconds", pl.Float64(), "apiserver.latency.k8s.io/etcd; null if absent."),
        Col("latency_queue_seconds", pl.Float64(), "apiserver.latency.k8s.io/apf-queue-wait; null if absent."),
        Col("caller_pod", pl.String(), "user.extra authentication.kubernetes.io/pod-name; null if absent."),
        Col("caller_pod_uid", pl.String(), "user.extra authentication.kubernetes.io/pod-uid; null if absent."),
        Col("caller_node", pl.String(), "user.extra authentication.kubernetes.io/node-name; null if absent."),
        Col(
            "server",
            pl.String(),
            "kube-apiserver, openshift-apiserver, oauth-apiserver or oauth-server, as the envelope, the prefix or the "
            "name of the input tells; null if none does.",
        ),
        Col("truncated", pl.Boolean(), "audit.k8s.io/truncated: bodies were removed before us."),
        Col("event_bytes", pl.Int64(), "Length of the event's JSON with its newline."),
        Col("request_body_bytes", pl.Int64(), "Length of requestObject with its key; 0 if absent."),
        Col("response_body_bytes", pl.Int64(), "Length of responseObject with its key; 0 if absent."),
    ),
    group="user_agent",
    kinds=("audit",),
)

AUDIT_ANNOTATIONS = Table(
    "audit_annotations",
    "One row per annotation beyond the columns of `audit_events`: latencies of the parts of a request, "
    "admission webhooks, Pod Security, deprecated APIs.",
    (
        *PLACE,
        Col("audit_id", pl.String(), "auditID of the event."),
        Col("annotation", pl.String(), "Its key; of an admission webhook without /round_R_index_I."),
        Col("value", pl.String(), "Name of the admission webhook, else its text, at most 512 characters."),
        Col("seconds", pl.Float64(), "What an apiserver.latency.k8s.io/ annotation states; null for others."),
        Col("configuration", pl.String(), "Webhook configuration that the webhook is part of; null if not stated."),
        Col("mutated", pl.Boolean(), "Whether the mutating webhook changed the object; null for other annotations."),
    ),
    kinds=("audit",),
)

AUDIT_OBJECTS = Table(
    "audit_objects",
    "One row per request or response body of an audit event that told one of these columns. What a request asked for "
    "need not have happened: see `code`. Bodies that may hold secrets are never opened.",
    (
        *PLACE,
        Col("audit_id", pl.String(), "auditID of the event."),
        Col("body", pl.String(), "request (requestObject, may be a patch) or response (responseObject)."),
        Col("verb", pl.String(), "Kubernetes verb."),
        Col("code", pl.Int32(), "responseStatus.code; null before the answer."),
        Col("resource", pl.String(), "objectRef.resource."),
        Col("subresource", pl.String(), "objectRef.subresource; null if none."),
        Col("namespace", pl.String(), "objectRef.namespace; null if cluster-wide."),
        Col("name", pl.String(), "objectRef.name, or metadata.name where the server made the name; null if none."),
        Col("uid", pl.String(), "metadata.uid; null if absent."),
        Col("pod_ip", pl.String(), "status.podIP, canonical text; null if absent."),
        Col("host_ip", pl.String(), "status.hostIP, canonical text; null if absent."),
        Col("phase", pl.String(), "status.phase: Pending, Running, Succeeded, Failed or Unknown; null if absent."),
        Col("start_time", TIME, "status.startTime of a pod; null if absent."),
        Col("node_name", pl.String(), "spec.nodeName of a pod, target.name of a binding; null if absent."),
        Col("owner_kind", pl.String(), "kind of the controlling owner reference, else of the first; null if none."),
        Col("owner_name", pl.String(), "name of that owner reference; null if none."),
        Col("replicas", pl.Int64(), "spec.replicas; null if absent."),
        Col("selector", pl.String(), "Label selector as key=value, sorted, joined by commas; null if absent."),
        Col("items", pl.Int64(), "Number of items of a list; null if the body is no list."),
    ),
    kinds=("audit",),
)

AUDIT_FIELDS = Table(
    "audit_fields",
    "One row per named field that a body of a create, update or patch tells which was not refused: images, requests, a "
    "cordon, a webhook's policy ...",
    (
        *PLACE,
        Col("audit_id", pl.String(), "auditID of the event."),
        Col("body", pl.String(), "request (requestObject) or response (responseObject)."),
        Col("whole", pl.Boolean(), "Whether the body is the object itself, and no patch of it."),
        Col("verb", pl.String(), "create, update or patch."),
        Col("code", pl.Int32(), "responseStatus.code; null before the answer."),
        Col("resource", pl.String(), "objectRef.resource."),
        Col("namespace", pl.String(), "objectRef.namespace; null if cluster-wide."),
        Col("name", pl.String(), "objectRef.name, or metadata.name where the server made the name; null if none."),
        Col(
            "field",
            pl.String(),
            "`image of CONTAINER`, `requests.cpu` (cores of a pod), `requests.memory` (bytes), `requests.RESOURCE`, "
            "`priorityClassName`, `spec.unschedulable`, `failurePolicy`, `rules` or `namespaceSelector of WEBHOOK`, "
            "`roleRef`, `type`, `ports`, `keys` (names of a ConfigMap's keys).",
        ),
        Col("value", pl.String(), "Its value, at most 400 characters."),
    ),
)

AUDIT_CONTAINERS = Table(
    "audit_containers",
    "One row per container that ended, as a body of a successful audit event about its pod tells it: the status that a "
    "kubelet writes, or the pod in an answer. Lists are not looked into.",
    (
        *PLACE,
        Col("audit_id", pl.String(), "auditID of the event."),
        Col("namespace", pl.String(), "Namespace of the pod."),
        Col("pod", pl.String(), "Name of the pod."),
        Col("node", pl.String(), "Node of the kubelet that wrote it; null where somebody else did."),
        Col("container", pl.String(), "Name of the container."),
        Col("container_id", pl.String(), "Its id, without the runtime's name."),
        Col("exit_code", pl.Int64(), "Exit code: 137 is SIGKILL."),
        Col("reason", pl.String(), "OOMKilled, Error, Completed ...; null if not told."),
        Col("started_at", TIME, "When it began, to the second; null if not told."),
        Col("finished_at", TIME, "When it ended, to the second; null if not told."),
    ),
)

AUDIT_ADDRESSES = Table(
    "audit_addresses",
    "One row per address that a body of a successful audit event tells to be somebody's: of the answer, or of the "
    "request where the answer is not logged. Lists are not looked into.",
    (
        *PLACE,
        Col("audit_id", pl.String(), "auditID of the event."),
        Col("resource", pl.String(), "objectRef.resource: pods, services, endpoints, endpointslices or nodes."),
        Col("subresource", pl.String(), "objectRef.subresource; null if none."),
        Col("kubelet", pl.Boolean(), "Whether a kubelet asked (system:node:)."),
        Col("address", pl.String(), "The address, canonical text."),
        Col("kind", pl.String(), "Whose it is: pod, service (its cluster IP) or node."),
        Col("namespace", pl.String(), "Namespace of the owner; null for a node."),
        Col("name", pl.String(), "Name of the owner."),
        Col("uid", pl.String(), "UID of the pod; null if absent, and for others."),
        Col("node", pl.String(), "Node of the pod; null if not told."),
        Col("phase", pl.String(), "status.phase of the pod; null if absent."),
        Col("start_time", TIME, "status.startTime of the pod; null if absent."),
        Col("ready", pl.Boolean(), "Of an endpoint, whether it is served; null of other resources."),
    ),
)

AUDIT_SERVICE_PORTS = Table(
    "audit_service_ports",
    "One row per port of a service that a body of a successful audit event tells: of the answer, or of the request "
    "where the answer is not logged. A patch that names no port is a row without one. Lists are not looked into.",
    (
        *PLACE,
        Col("audit_id", pl.String(), "auditID of the event."),
        Col("verb", pl.String(), "create, update, patch or get."),
        Col("body", pl.String(), "request (requestObject, may be a patch) or response (responseObject)."),
        Col("namespace", pl.String(), "Namespace of the service."),
        Col("name", pl.String(), "Name of the service."),
        Col("type", pl.String(), "ClusterIP, NodePort, LoadBalancer or ExternalName; null if not told."),
        Col("port", pl.Int64(), "Port of the service; null if the body names none."),
        Col("target_port", pl.String(), "Port of the pods, a number or a name; null if it is the same or not told."),
        Col("node_port", pl.Int64(), "Port of every node; null if none or not told."),
        Col("protocol", pl.String(), "TCP, UDP or SCTP; null if not told."),
        Col("port_name", pl.String(), "Name of the port; null if it has none."),
        Col("internal", pl.Boolean(), "Whether an internal load balancer is asked for; null if not told."),
        Col("source_ranges", pl.String(), "Networks that may use the balancer; empty if all may, null if not told."),
        Col("balancer", pl.String(), "First address or host name of the load balancer; null if not told."),
        Col("selector", pl.String(), "Labels of the pods as key=value, sorted, joined by commas; null if absent."),
    ),
)
