"""The kubelet's log as journald prints it: a short prefix without a year, then klog with structured values."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

from audit import Call, uri
from cluster import Node, Pod, new_uid, rfc3339
from wire import SECOND

SERVER = "https://10.0.12.5:6443"
BUSY = "the server has received too many requests and has asked us to try again later"


@dataclass
class KubeletLog:
    """The journal of one node's kubelet unit."""

    node: Node
    rng: random.Random
    pid: int
    lines: list[tuple[int, int, str]] = field(default_factory=list)

    def say(self, at: int, severity: str, caller: str, text: str) -> None:
        when = datetime.fromtimestamp(at // SECOND, UTC)
        # journald stamps the line when it arrives, a moment after klog did.
        arrived = datetime.fromtimestamp((at + 400) // SECOND, UTC)
        head = f"{severity}{when:%m%d %H:%M:%S}.{at % SECOND:06d} {self.pid:7d} {caller}] "
        host = self.node.name.split(".", 1)[0]
        line = f"{arrived:%b} {arrived.day:2d} {arrived:%H:%M:%S} {host} kubelet[{self.pid}]: {head}{text}\n"
        self.lines.append((at, len(self.lines), line))

    def text(self) -> bytes:
        return "".join(line for _, _, line in sorted(self.lines)).encode()

    def start_pod(self, at: int, pod: Pod) -> None:
        """From the watch to the first container. `at` is when the status with the address went out."""
        volume = f"kubernetes.io/projected/{pod.uid}-kube-api-access-{pod.name[-5:]}"
        seen = at - self.rng.randrange(1_900_000, 2_300_000)
        self.say(seen, "I", "kubelet.go:2724", f'"SyncLoop ADD" source="api" pods=["{pod.key}"]')
        name = f'\\"kube-api-access-{pod.name[-5:]}\\"'
        attached = f'"operationExecutor.VerifyControllerAttachedVolume started for volume {name} '
        attached += f'(UniqueName: \\"{volume}\\") pod \\"{pod.name}\\" (UID: \\"{pod.uid}\\") " pod="{pod.key}"'
        self.say(seen + 101_000, "I", "reconciler_common.go:251", attached)
        self.say(
            seen + 301_000,
            "I",
            "util.go:34",
            f'"No sandbox for pod can be found. Need to start a new one" pod="{pod.key}"',
        )
        for when in (at - 700_000, at - 60_000):
            event = f'{{"ID":"{pod.uid}","Type":"ContainerStarted","Data":"{self.rng.getrandbits(256):064x}"}}'
            self.say(when, "I", "kubelet.go:2752", f'"SyncLoop (PLEG): event for pod" pod="{pod.key}" event={event}')
        took = (at - seen) / SECOND
        created = datetime.fromtimestamp(seen // SECOND, UTC)
        values = [
            f'podStartSLOduration={took:.9f} podStartE2EDuration="{took:.9f}s" totalImagesPullingTime="0s"',
            'totalInitContainerRuntime="0s" isStatefulPod=false',
            f'podCreationTimestamp="{created:%Y-%m-%d %H:%M:%S} +0000 UTC"',
            f'imagePullSessionsCount=0 imagePullSessionsStartsCount=0 observedRunningTime="{rfc3339(at)}"',
            f'watchObservedRunningTime="{rfc3339(at + 118_000)}"',
        ]
        text = f'"Observed pod startup duration" pod="{pod.key}" ' + " ".join(values)
        self.say(at + 120_000, "I", "pod_startup_latency_tracker.go:148", text)

    def stop_pod(self, at: int, pod: Pod, grace: bool = True) -> None:
        """From the deletion to the empty directory: half a minute, or at once where the program stops when told."""
        container = f"{self.rng.getrandbits(256):064x}"
        self.say(at + 20_000, "I", "kubelet.go:2740", f'"SyncLoop DELETE" source="api" pods=["{pod.key}"]')
        self.say(
            at + 22_000,
            "I",
            "kuberuntime_container.go:915",
            f'"Killing container with a grace period" pod="{pod.key}" podUID="{pod.uid}" containerName="{pod.owner}" '
            f'containerID="containerd://{container}" gracePeriod=30',
        )
        at += 2 * SECOND + self.rng.randrange(SECOND) if grace else 200_000
        finished = f'"Generic (PLEG): container finished" podID="{pod.uid}" containerID="{container}" exitCode=0'
        self.say(at, "I", "generic.go:413", finished)
        event = f'{{"ID":"{pod.uid}","Type":"ContainerDied","Data":"{container}"}}'
        self.say(at + 30_000, "I", "kubelet.go:2752", f'"SyncLoop (PLEG): event for pod" pod="{pod.key}" event={event}')
        at += 28 * SECOND if grace else 100_000
        self.say(at, "I", "kubelet.go:2734", f'"SyncLoop REMOVE" source="api" pods=["{pod.key}"]')
        path = f"/var/lib/kubelet/pods/{pod.uid}/volumes"
        self.say(
            at + 2 * SECOND,
            "I",
            "kubelet_volumes.go:161",
            f'"Cleaned up orphaned pod volumes dir" podUID="{pod.uid}" path="{path}"',
        )

    def murmur(self, pods: list[Pod], start: int, end: int) -> None:
        """What a healthy kubelet says: caches, containers removed, here and there a probe that fails once."""
        at = start + self.rng.randrange(20 * SECOND)
        while at < end:
            pod, kind = self.rng.choice(pods), self.rng.random()
            if kind < 0.45:
                self.say(at, "I", "scope.go:122", f'"RemoveContainer" containerID="{self.rng.getrandbits(256):064x}"')
            elif kind < 0.8:
                name = f'object-\\"{pod.namespace}\\"/\\"kube-root-ca.crt\\"'
                self.say(at, "I", "reflector.go:507", f'"Caches populated" type="*v1.ConfigMap" reflector="{name}"')
            elif kind < 0.93:
                self.say(
                    at,
                    "I",
                    "provider.go:93",
                    "Refreshing cache for provider: *credentialprovider.defaultDockerConfigProvider",
                )
            else:
                reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                whom = f'pod="{pod.key}" podUID="{pod.uid}" containerName="{pod.owner}"'
                failed = f'probeResult="failure" output="Get \\"http://{pod.ip}:8080/healthz\\": {reason}"'
                self.say(at, "I", "prober.go:122", f'"Probe failed" probeType="Readiness" {whom} {failed}')
            at += self.rng.randrange(8 * SECOND, 40 * SECOND)

    def waited(self, at: int, call: Call, attempt: int) -> None:
        """A request was turned away at that time; the client waited the second it was told and says so."""
        verb = {"update": "PUT", "patch": "PATCH", "get": "GET", "list": "GET", "watch": "GET", "create": "POST"}[
            call.verb
        ]
        delay = SECOND + self.rng.randrange(200, 9000)
        told = (
            f'retries: {attempt}, retry-after: 1s - retry-reason: due to server-side throttling, FlowSchema UID: \\"\\"'
        )
        where = SERVER + uri(call.target or {}, call.query)
        line = (
            f'"Waited before sending request" delay="{delay / SECOND:.6f}s" reason="{told}" verb="{verb}" URL="{where}"'
        )
        self.say(at + delay, "I", "request.go:752", line)

    def gave_up(self, at: int, call: Call) -> None:
        """The last try failed as well."""
        target = call.target or {}
        if target.get("resource") == "leases":
            error = f"{BUSY} (put leases.coordination.k8s.io {target.get('name')})"
            self.say(at, "E", "controller.go:201", f'"Failed to update lease" err="{error}"')
        elif target.get("resource") == "nodes":
            error = f'error getting node \\"{target.get("name")}\\": {BUSY} (patch nodes {target.get("name")})'
            self.say(at, "E", "kubelet_node_status.go:529", f'"Error updating node status, will retry" err="{error}"')
            if self.rng.random() < 0.5:
                self.say(
                    at + 3000,
                    "E",
                    "kubelet_node_status.go:515",
                    '"Unable to update node status" err="update node status exceeds retry count"',
                )
        elif target.get("resource") == "pods":
            error = f"{BUSY} ({call.verb} pods {target.get('name')})"
            pod = f'podUID="{new_uid(self.rng)}" pod="{target.get("namespace")}/{target.get("name")}"'
            self.say(at, "E", "status_manager.go:1041", f'"Failed to get status for pod" {pod} err="{error}"')

    def boot(self, at: int) -> None:
        """A kubelet that starts before the API server can be reached: errors that mean nothing."""
        refused = f"dial tcp {SERVER.removeprefix('https://')}: connect: connection refused"
        lease = f"{SERVER}/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.node.name}?timeout=10s"
        values = {"refused": refused, "lease": lease, "server": SERVER, "node": self.node.name}
        values["young"] = "PLEG is not healthy: pleg has yet to be successful"
        for severity, caller, message, rest in BOOT:
            self.say(at, severity, caller, f'"{message}" {rest.format(**values)}'.rstrip())
            at += self.rng.randrange(3000, 240_000)


_YOUNG = 'err="[container runtime status check may not have completed yet, {young}]"'
_LEASE = 'err="Get \\"{lease}\\": {refused}" interval='
BOOT = (
    ("I", "server.go:525", "Kubelet version", 'kubeletVersion="v1.36.2"'),
    ("I", "server.go:527", "Golang settings", 'GOGC="" GOMAXPROCS="" GOTRACEBACK=""'),
    ("I", "remote_runtime.go:171", "Validated CRI v1 runtime API", ""),
    ("I", "kubelet.go:496", "Attempting to sync node with API server", ""),
    ("I", "kubelet.go:397", "Adding static pod path", 'path="/etc/kubernetes/manifests"'),
    ("I", "server.go:1291", "Started kubelet", ""),
    (
        "E",
        "kubelet.go:1743",
        "Image garbage collection failed once. Stats initialization may not have completed yet",
        'err="invalid capacity 0 on image filesystem"',
    ),
    ("I", "volume_manager.go:308", "The desired_state_of_world populator starts", ""),
    (
        "E",
        "kubelet.go:2661",
        "Skipping pod synchronization",
        _YOUNG,
    ),
    ("E", "controller.go:145", "Failed to ensure lease exists, will retry", _LEASE + '"200ms"'),
    (
        "E",
        "kubelet_node_status.go:106",
        "Unable to register node with API server",
        'err="Post \\"{server}/api/v1/nodes\\": {refused}" node="{node}"',
    ),
    ("E", "controller.go:145", "Failed to ensure lease exists, will retry", _LEASE + '"400ms"'),
    (
        "E",
        "eviction_manager.go:264",
        "Eviction manager: failed to get summary stats",
        'err="failed to get node info: node \\"{node}\\" not found"',
    ),
    ("I", "kubelet_node_status.go:78", "Attempting to register node", 'node="{node}"'),
    ("I", "kubelet_node_status.go:81", "Successfully registered node", 'node="{node}"'),
    (
        "I",
        "reflector.go:507",
        "Caches populated",
        'type="*v1.Service" reflector="k8s.io/client-go/informers/factory.go:177"',
    ),
    ("I", "apiserver.go:51", "Watching apiserver", ""),
)
"""Severity, place, message and values of a start. What is refused here is refused at every start."""
