"""The case kubelet-status-lag: builds come and go on one node faster than its kubelet may tell, and kube2iam refuses
them credentials; two pods that are refused for other reasons, and a node where all is well."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from audit import Actors, AuditLog, Call, Json, ref
from cluster import Cluster, Node, Pod, moment, node, rfc3339
from klog import SERVER, KubeletLog
from story import HOME, Truth
from wire import SECOND, write

NAME = "kubelet-status-lag"
START = moment("2026-11-20T09:00:00")
END = START + 20 * 60 * SECOND
BUILDS, EVERY = 60, 2 * SECOND
QPS, BURST = 5, 10
"""What a kubelet before 1.27 may send."""
REQUESTS, PATCH = 14, 7
"""Requests that the kubelet sends for each pod, and which of them is the status with the address."""
RETRY, BACKOFF = 5 * SECOND, 2_100_000
ROLES = "/latest/meta-data/iam/security-credentials/"
ROLE = "arn:aws:iam::123456789012:role/prod-east-build"
THRESHOLD = 5


@dataclass
class Kube2Iam:
    """The log of the proxy on one node, and what it refused, counted while it is written."""

    lines: list[tuple[int, int, str]] = field(default_factory=list)
    refused: dict[str, list[int]] = field(default_factory=dict)
    blocked: dict[str, int] = field(default_factory=dict)

    def say(self, at: int, level: str, message: str, fields: str) -> None:
        line = f'{rfc3339(at, 9)} stderr F time="{rfc3339(at, 0)}" level={level} msg="{message}" {fields}\n'
        self.lines.append((at, len(self.lines), line))

    def answer(self, asked: int, pod: Pod, path: str, status: int) -> int:
        """One request; it is answered at the next full second but one, which is what the log can tell."""
        wait = BACKOFF if status == 404 else 3000
        done = -(-(asked + wait) // SECOND) * SECOND
        where = f"req.method=GET req.path={path} req.remote={pod.ip}"
        if status == 403:
            roles = f'ns.name={pod.namespace} params.iam.role=admin pod.iam.role="{ROLE}"'
            self.say(done, "error", "Invalid role: does not match annotated role", f"{roles} {where}")
        took = f"{(done - asked) / 1000:.6f}"
        message = f"GET {path} ({status}) took {took} ms"
        self.say(done, "info", message, f"{where} res.duration={took} res.status={status}")
        return done

    def count(self, cause: str, asked: list[int], until: int) -> None:
        """Refusals of one streak: their times, and from the first request to `until`."""
        self.refused.setdefault(cause, []).extend(asked)
        self.blocked[cause] = self.blocked.get(cause, 0) + until - asked[0]

    def text(self) -> bytes:
        return "".join(line for _, _, line in sorted(self.lines)).encode()


@dataclass
class Side:
    """What one node's kubelet does, in its journal and in the audit log."""

    here: Node
    log: AuditLog
    actors: Actors
    journal: KubeletLog

    def __post_init__(self) -> None:
        self.actor = self.actors.kubelet(self.here)
        self.scheduler = self.actors.component("kube-scheduler", "10.0.12.5", "scheduler")

    def bind(self, at: int, pod: Pod) -> None:
        target = ref("pods", pod.namespace, pod.name, sub="binding")
        self.log.add(at, Call(actor=self.scheduler, verb="create", target=target, code=201))

    def started(self, at: int, pod: Pod, pull: int = 0) -> None:
        """The sandbox, and the first container once its image is there."""
        for when in (at - 900_000 - pull, at):
            event = f'{{"ID":"{pod.uid}","Type":"ContainerStarted","Data":"{self.journal.rng.getrandbits(256):064x}"}}'
            text = f'"SyncLoop (PLEG): event for pod" pod="{pod.key}" event={event}'
            self.journal.say(when, "I", "kubelet.go:2752", text)

    def told(self, at: int, pod: Pod) -> None:
        status: Json = {"phase": "Running", "podIP": pod.ip, "hostIP": self.here.ip}
        body: Json = {"metadata": {"uid": pod.uid}, "status": status}
        target = ref("pods", pod.namespace, pod.name, sub="status")
        self.log.add(at, Call(actor=self.actor, verb="patch", target=target, level="Request", request=body, took=4000))

    def event(self, at: int, pod: Pod) -> None:
        call = Call(actor=self.actor, verb="create", target=ref("events", pod.namespace), code=201)
        self.log.add(at, call)


def builds(side: Side, pods: list[Pod], proxy: Kube2Iam) -> list[int]:
    """Sixty builds, one every two seconds; their requests wait in one queue. Returns each pod's lag."""
    rng = side.journal.rng
    arrivals: list[tuple[int, int, Pod, bool]] = []
    begins: dict[str, int] = {}
    for number, pod in enumerate(pods):
        at = begins[pod.key] = START + 60 * SECOND + number * EVERY + rng.randrange(SECOND // 4)
        side.bind(at - 2 * SECOND, pod)
        side.started(at, pod)
        arrivals += [(at + 40_000 + i * 1000, number * REQUESTS + i, pod, i == PATCH) for i in range(REQUESTS)]
    free, last, lags = START, 0, []
    for at, _, pod, patch in sorted(arrivals, key=lambda one: one[:2]):
        # A bucket of tokens: after a burst one request every fifth of a second.
        free = max(free + SECOND // QPS, at - (BURST - 1) * SECOND // QPS)
        sent = max(at, free)
        if sent - at > SECOND and sent - last > 10 * SECOND:
            reason = "client-side throttling, not priority and fairness"
            url = f"{SERVER}/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
            text = f'"Waited before sending request" delay="{(sent - at) / SECOND:.6f}s" reason="{reason}"'
            side.journal.say(sent, "I", "request.go:752", f'{text} verb="GET" URL="{url}"')
            last = sent
        if patch:
            side.told(sent, pod)
            lags.append(sent - begins[pod.key])
            fetch(proxy, pod, begins[pod.key] + 300_000, sent + 150_000)
        else:
            side.event(sent, pod)
    return lags


def fetch(proxy: Kube2Iam, pod: Pod, asked: int, known: int) -> None:
    """The build asks for its role until the proxy knows its address, five seconds after each refusal."""
    refused = []
    while asked + BACKOFF < known:
        refused.append(asked)
        asked = proxy.answer(asked, pod, ROLES, 404) + RETRY
    done = proxy.answer(asked, pod, ROLES, 200)
    if refused:
        proxy.count("pods without an address yet", refused, done)
    proxy.answer(done + 2000, pod, f"{ROLES}prod-east-build", 200)


def ends(side: Side, pod: Pod, proxy: Kube2Iam) -> None:
    """A pod with ten minutes of grace ships its last data, and is refused from its deletion on."""
    fields = f'pod.iam.role="{ROLE}" pod.name={pod.name} pod.namespace={pod.namespace}'
    proxy.say(START, "debug", "Pod OnUpdate", f"{fields} pod.status.ip={pod.ip} pod.status.phase=Running")
    for at in range(START + 20 * SECOND, START + 12 * 60 * SECOND, 120 * SECOND):
        proxy.answer(proxy.answer(at, pod, ROLES, 200) + 1000, pod, f"{ROLES}prod-east-build", 200)
    gone = START + 12 * 60 * SECOND + 500_000
    person = side.actors.account(
        "platform", "deployer", "kubectl/v1.36.2 (linux/amd64) kubernetes/3d8a7f2", "10.0.12.9", "edit"
    )
    side.log.add(gone, Call(actor=person, verb="delete", target=ref("pods", pod.namespace, pod.name)))
    side.journal.say(gone + 30_000, "I", "kubelet.go:2740", f'"SyncLoop DELETE" source="api" pods=["{pod.key}"]')
    asked = [gone + 25 * SECOND + number * 30 * SECOND for number in range(8)]
    done = [proxy.answer(at, pod, ROLES, 404) for at in asked]
    proxy.count("terminating pods", asked, done[-1])


def wrong(pod: Pod, proxy: Kube2Iam) -> None:
    asked = [START + 5 * 60 * SECOND + number * 20 * SECOND for number in range(12)]
    done = [proxy.answer(at, pod, f"{ROLES}admin", 403) for at in asked]
    proxy.count("pods with a wrong role", asked, done[-1])


def healthy(side: Side, pods: list[Pod], proxy: Kube2Iam) -> None:
    """A node on which every pod is told of at once, one after a slow pull; spot checks of what is not there."""
    for number, pod in enumerate(pods):
        at = START + 90 * SECOND + number * 40 * SECOND
        pull = 95 * SECOND if number == 3 else 0
        side.bind(at - 2 * SECOND - pull, pod)
        side.started(at, pod, pull)
        side.told(at + 180_000, pod)
    for at in range(START + 7 * SECOND, END - SECOND, 30 * SECOND):
        proxy.say(
            at,
            "info",
            "GET /latest/meta-data/spot/instance-action (404) took 0.901455 ms",
            "req.method=GET req.path=/latest/meta-data/spot/instance-action "
            f"req.remote={pods[0].ip} res.duration=0.901455 res.status=404",
        )


def main() -> None:
    rng = random.Random(NAME)
    cluster, log = Cluster(rng), AuditLog(rng, omit_received=True)
    actors, proxy = Actors(rng), Kube2Iam()
    busy, calm = (
        Side(one, log, actors, KubeletLog(one, rng, pid)) for one, pid in ((node(34), 1412), (node(35), 1398))
    )
    lags = builds(busy, [cluster.pod("build", "runner", node(34)) for _ in range(BUILDS)], proxy)
    ends(busy, cluster.pod("logs", "logstash", node(34)), proxy)
    wrong(cluster.pod("shop", "banner", node(34)), proxy)
    healthy(calm, [cluster.pod("shop", "catalog", node(35)) for _ in range(12)], proxy)

    truth = Truth(START, END)
    ordered = sorted(lags)
    truth.findings[f"{NAME}:{node(34).name.split('.')[0]}"] = {
        "pods over the threshold": sum(1 for lag in lags if lag > THRESHOLD * SECOND),
        "pods": BUILDS,
        "median lag": (ordered[BUILDS // 2 - 1] + ordered[BUILDS // 2]) / 2 / SECOND,
        "95th percentile": ordered[-1 - BUILDS * 5 // 100] / SECOND,
        "largest lag": ordered[-1] / SECOND,
    }
    for cause, asked in proxy.refused.items():
        figures = {"refused requests": len(asked), "seconds blocked": proxy.blocked[cause] / SECOND}
        truth.findings[f"imds-credential-refusal:{cause}"] = figures
    truth.counts = {"requests": len(log.times), "lines of kube2iam": len(proxy.lines)}
    folder = HOME / NAME
    truth.write(folder)
    write(folder / "kubelet-34.log", busy.journal.text())
    write(folder / "kubelet-35.log", calm.journal.text())
    write(folder / "kube2iam.log", proxy.text())
    log.save(folder)
