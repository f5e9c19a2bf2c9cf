"""The case credential-lookalikes: what looks like a late kubelet, refused credentials or lost tokens, and is none.

Three nodes. The metadata service is asked from 34, kube2iam answers on 35.
"""

from __future__ import annotations

import random
from dataclasses import replace

from audit import Actors, AuditLog, Call, ref
from cluster import Cluster, Pod, moment, node
from imds import METADATA, NEW_SDK, OLD_SDK, Client, _date, _reply, credentials
from klog import KubeletLog
from kubelet_status_lag import ROLE, ROLES, Kube2Iam, Side
from story import HOME, Truth
from tcp import Connection, Ports
from wire import SECOND, Capture, Ends, write

NAME = "credential-lookalikes"
START = moment("2026-11-21T09:00:00")
MINUTE = 60 * SECOND
END = START + 20 * MINUTE
LIFE = 6 * 3600
BEHIND = 42 * SECOND
"""By how much the clock of node 34 is behind that of the API server."""
ROLE_NAME = "prod-east-node"


def clock(side: Side, pods: list[Pod]) -> None:
    """Every pod is told of at once, by a clock that differs from the server's."""
    for number, pod in enumerate(pods):
        at = START + 2 * MINUTE + number * 45 * SECOND
        side.bind(at - 2 * SECOND + BEHIND, pod)
        side.started(at, pod)
        side.told(at + BEHIND + 150_000 + side.journal.rng.randrange(200_000), pod)


def slow(side: Side, pods: list[Pod]) -> None:
    """Images are pulled behind the sandbox, a patch is refused once, one pod is a little late."""
    for number, pod in enumerate(pods):
        at = START + 3 * MINUTE + number * 40 * SECOND
        pull = 95 * SECOND if number % 4 == 3 else 0
        side.bind(at - 2 * SECOND - pull, pod)
        side.started(at, pod, pull)
        if number == 5:
            target = ref("pods", pod.namespace, pod.name, sub="status")
            side.log.add(at + 100_000, Call(actor=side.actor, verb="patch", target=target, code=409))
        side.told(at + (4_600_000 if number == 7 else 210_000), pod)


def anew(side: Side, pods: list[Pod]) -> None:
    """A kubelet that starts anew tells of all that runs, and writes statuses half a minute later; a static pod."""
    for number, pod in enumerate(pods):
        at = START + MINUTE + number * 3 * SECOND
        side.bind(at - 2 * SECOND, pod)
        side.started(at, pod)
        side.told(at + 180_000, pod)
    again = START + 15 * MINUTE
    for number, pod in enumerate(pods):
        side.started(again + number * 1000, pod)
        side.told(again + 34 * SECOND + number * 200_000, pod)
    static = replace(pods[0], namespace="kube-system", name=f"kube-proxy-{side.here.name}", uid=f"{7:032x}")
    side.started(START + 5 * MINUTE, static)
    side.told(START + 6 * MINUTE, static)


def proxied(side: Side, pods: list[Pod], proxy: Kube2Iam) -> None:
    """Two refusals at a start, a pod that is served until its end, and paths that are no credentials."""
    fresh, leaving, spot = pods[:3]
    at = START + 4 * MINUTE
    for _ in range(2):
        at = proxy.answer(at, fresh, ROLES, 404) + 2 * SECOND
    for number in range(8):
        done = proxy.answer(at + number * 90 * SECOND, fresh, ROLES, 200)
        proxy.answer(done + 2000, fresh, f"{ROLES}prod-east-build", 200)
    fields = f'pod.iam.role="{ROLE}" pod.name={leaving.name} pod.namespace={leaving.namespace}'
    proxy.say(START, "debug", "Pod OnUpdate", f"{fields} pod.status.ip={leaving.ip} pod.status.phase=Running")
    gone = START + 12 * MINUTE + 500_000
    agent = "kubectl/v1.36.2 (linux/amd64) kubernetes/3d8a7f2"
    person = side.actors.account("platform", "deployer", agent, "10.0.12.9", "edit")
    side.log.add(gone, Call(actor=person, verb="delete", target=ref("pods", leaving.namespace, leaving.name)))
    side.journal.say(gone + 30_000, "I", "kubelet.go:2740", f'"SyncLoop DELETE" source="api" pods=["{leaving.key}"]')
    for asked in range(gone - 2 * MINUTE, gone + 4 * MINUTE, 30 * SECOND):
        proxy.answer(asked, leaving, f"{ROLES}prod-east-build", 200)
    for asked in range(START + 7 * SECOND, END - SECOND, 30 * SECOND):
        proxy.answer(asked, spot, "/latest/meta-data/spot/instance-action", 404)


class Asker(Client):
    """A client of the metadata service that meets what the others do not."""

    def put(self, at: int, reply: bytes = b"", wait: int = SECOND) -> int:
        """Ask for a token; without a reply it waits, and closes."""
        request = (
            f"PUT /latest/api/token HTTP/1.1\r\nHost: {METADATA}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"
            f"User-Agent: {self.agent}\r\nContent-Length: 0\r\n\r\n"
        )
        return self._asked(at, request, reply, wait)

    def fetch(self, at: int, token: str = "", status: bytes = b"", away: bool = False) -> int:
        """Ask for the list of roles, or the credential with a token."""
        header = f"x-aws-ec2-metadata-token: {token}\r\n" if token else ""
        request = f"GET {ROLES} HTTP/1.1\r\nHost: {METADATA}\r\n{header}User-Agent: {self.agent}\r\n\r\n"
        return self._asked(at, request, b"" if away else status or _reply(at, ROLE_NAME), SECOND)

    def _asked(self, at: int, request: str, reply: bytes, wait: int) -> int:
        connection = Connection(self.capture, Ends(self.ip, self.ports.next(self.ip), METADATA, 80), rtt=180)
        sent = connection.open(at) + 120
        if reply:
            came = connection.ask(sent, request.encode(), reply, 700)
            return connection.close(came + 90, by_server=True)
        return connection.close(connection.send(sent, request.encode()) + wait)

    def credential(self, at: int, token: str = "") -> int:
        body = credentials(at, LIFE)
        return self.get(at, ROLES + ROLE_NAME, body, token)[1]


def refusal(at: int, status: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nServer: EC2ws\r\nDate: {_date(at)}\r\nContent-Length: 0\r\n"
    return f"{head}Connection: close\r\n\r\n".encode()


def metadata(capture: Capture, ports: Ports, cluster: Cluster) -> None:
    """Six processes of each of five pods, three minutes apart."""
    here = node(34)
    names = ("report", "thumbs", "mailer", "invoice", "audit")
    old, away, unlucky, unseen, refused = (
        Asker(capture, ports, cluster.pod("shop", name, here).ip, OLD_SDK if name == "report" else NEW_SDK, ROLE_NAME)
        for name in names
    )
    for process in range(6):
        at = START + MINUTE + process * 3 * MINUTE + capture.rng.randrange(SECOND)
        # Asks without a token first, is told 401, and fetches one.
        done = old.fetch(at, status=refusal(at, "401 Unauthorized"))
        old.refresh(done + 1200, LIFE)
        # The service is away for this one: neither is answered.
        away.fetch(away.put(at + 5 * SECOND) + 2000, away=True)
        # One answer of six is lost by chance.
        if process == 2:
            unlucky.credential(unlucky.fetch(unlucky.put(at + 10 * SECOND) + 1500) + 1500)
        else:
            unlucky.refresh(at + 10 * SECOND, LIFE)
        # Its answer is missing in the capture only: the client has its token, and goes on at once.
        done = unseen.put(at + 15 * SECOND, wait=2500)
        unseen.credential(unseen.fetch(done + 900, token="EXAMPLETOKEN") + 900, token="EXAMPLETOKEN")
        # A proxy that knows no tokens.
        done = refused.put(at + 20 * SECOND, refusal(at, "404 Not Found"))
        refused.credential(refused.fetch(done + 900) + 900)


def main() -> None:
    rng = random.Random(NAME)
    cluster, log = Cluster(rng), AuditLog(rng, omit_received=True)
    actors, proxy = Actors(rng), Kube2Iam()
    first, second, third = (
        Side(node(number), log, actors, KubeletLog(node(number), rng, 1400 + number)) for number in (34, 35, 36)
    )
    clock(first, [cluster.pod("shop", "catalog", node(34)) for _ in range(12)])
    served = [cluster.pod("checkout", "cart", node(35)) for _ in range(12)]
    slow(second, served)
    anew(third, [cluster.pod("search", "index", node(36)) for _ in range(8)])
    proxied(second, [cluster.pod("build", "runner", node(35)) for _ in range(3)], proxy)
    capture = Capture(node(34).subnet, rng)
    metadata(capture, Ports(rng), cluster)

    truth = Truth(START, END)
    truth.counts = {"requests": len(log.times), "lines of kube2iam": len(proxy.lines), "packets": len(capture.frames)}
    folder = HOME / NAME
    truth.write(folder)
    for side in (first, second, third):
        write(folder / f"kubelet-{side.here.ip.rsplit('.', 1)[-1]}.log", side.journal.text())
    write(folder / "kube2iam.log", proxy.text())
    write(folder / "node.pcap.gz", capture.pcap())
    log.save(folder)
