"""The table read from kube-apiserver audit logs."""

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
        Col("user_agent", pl.String(), "userAgent as sent."),
        Col("agent", pl.String(), "User agent family: the part before the first `/`; the whole if there is none."),
        Col("source_ip", pl.String(), "First of sourceIPs, canonical text."),
        Col("api_group", pl.String(), "objectRef.apiGroup; '' is the core group, null without an object."),
        Col("resource", pl.String(), "objectRef.resource; null for non-resource URLs."),
        Col("subresource", pl.String(), "objectRef.subresource; null if none."),
        Col("namespace", pl.String(), "objectRef.namespace; null if cluster-wide."),
        Col("name", pl.String(), "objectRef.name; null if none."),
        Col("code", pl.Int32(), "responseStatus.code; null before the answer."),
        Col("reason", pl.String(), "responseStatus.reason; null if absent."),
        Col("message", pl.String(), "responseStatus.message, at most 512 characters; null if absent."),
        Col("decision", pl.String(), "authorization.k8s.io/decision; null where authorization never ran."),
        Col("latency_total_seconds", pl.Float64(), "apiserver.latency.k8s.io/total; null below 500 ms."),
        Col("latency_etcd_seconds", pl.Float64(), "apiserver.latency.k8s.io/etcd; null if absent."),
        Col("latency_queue_seconds", pl.Float64(), "apiserver.latency.k8s.io/apf-queue-wait; null if absent."),
        Col("caller_pod", pl.String(), "user.extra authentication.kubernetes.io/pod-name; null if absent."),
        Col("caller_node", pl.String(), "user.extra authentication.kubernetes.io/node-name; null if absent."),
        Col("truncated", pl.Boolean(), "audit.k8s.io/truncated: bodies were removed before us."),
        Col("event_bytes", pl.Int64(), "Length of the event's JSON with its newline."),
        Col("request_body_bytes", pl.Int64(), "Length of requestObject with its key; 0 if absent."),
        Col("response_body_bytes", pl.Int64(), "Length of responseObject with its key; 0 if absent."),
    ),
    group="user_agent",
)
