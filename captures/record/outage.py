"""The case outage: one hour in which four changes, each harmless by itself to those who made it, hurt one cluster.

The capture is that of node ip-10-0-12-33; the name server's log holds the whole cluster; the audit log is the API
server's; the kubelet logs are those of two nodes. Addresses, names and times agree between all of them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import flood
import storm
from audit import AuditLog
from cluster import Cluster, Node, Pod, moment, node
from controlplane import REPLACED, ControlPlane
from imds import CLI, NEW_SDK, OLD_SDK, PROBE, Client, health_check
from imds_credential_storm import LONG_LIFE, ROLE, S3, polite
from imds_credential_storm import storm as credential_storm
from klog import KubeletLog
from resolver import CoreDns, Stub, figures, spread
from story import HOME, Truth
from tcp import Ports
from traffic import Innocent
from wire import SECOND, Capture, Interface, write

NAME = "outage"
START = moment("2026-11-17T13:00:00")
MINUTE = 60 * SECOND
END = START + 60 * MINUTE
CHARGE_CHANGE, CHARGE_BACK = START + 8 * MINUTE, START + 52 * MINUTE
EXPORT_CHANGE, EXPORT_BACK = START + 20 * MINUTE, START + 40 * MINUTE
AGENT_CHANGE, AGENT_BACK = START + 30 * MINUTE + 12 * SECOND, START + 35 * MINUTE + 18 * SECOND
STORM = (START + 31 * MINUTE, START + 36 * MINUTE)
OPERATOR_CHANGE = START + 42 * MINUTE + 31 * SECOND
FLOOD = (START + 43 * MINUTE, START + 46 * MINUTE)
ROTATED = (START + 33 * MINUTE + 40_118_000, START + 57 * MINUTE + 2_507_000)
NODES = tuple(node(number) for number in range(31, 37))
HERE, NEXT = NODES[2], NODES[3]
BRIDGE = Interface(name="cni0", capture_filter="")
UPLINK = Interface(name="ens5", capture_filter="not port 53 and not host 10.0.12.33")
CALM_HERE: tuple[str, ...] = (
    "shop/catalog",
    "shop/storefront",
    "checkout/cart",
    "checkout/orders",
    "payments/ledger",
    "payments/tokens",
)
CALM_HERE += ("search/index", "search/suggest", "logistics/stock", "platform/queue")
CALM_ELSE = ("shop/catalog", "checkout/cart", "search/index", "logistics/routes", "platform/cache", "shop/banner")
CHARGES = ((HERE, 28), (HERE, 24), (NEXT, 26), (NODES[4], 22))
"""Where the pods of payments/charge-api run, and how many outside names each looks up while it is mistaken."""
OUTSIDE_NAMES = ("api.fraud-check.example.com", "rates.example.net", "hooks.partner.example.org")


@dataclass
class Outage:
    rng: random.Random
    cluster: Cluster = field(init=False)
    ports: Ports = field(init=False)
    capture: Capture = field(init=False)
    dns: CoreDns = field(init=False)
    plane: ControlPlane = field(init=False)
    kubelets: dict[str, KubeletLog] = field(init=False)
    truth: Truth = field(init=False)

    def __post_init__(self) -> None:
        rng = self.rng
        self.cluster, self.ports, self.capture = Cluster(rng), Ports(rng), Capture(HERE.subnet, rng)
        self.dns = CoreDns(self.capture, self.ports, rng)
        self.plane = ControlPlane(AuditLog(rng, omit_received=True), NODES, rng, overload=STORM, refuse=0.4)
        self.kubelets = {one.name: KubeletLog(one, rng, pid) for one, pid in ((HERE, 1450), (NEXT, 1391))}
        self.truth = Truth(START, END)

    def start(self, at: int, pod: Pod) -> int:
        ready = self.plane.start_pod(at, pod)
        if pod.node.name in self.kubelets:
            self.kubelets[pod.node.name].start_pod(ready, pod)
        return ready

    def stop(self, at: int, pod: Pod) -> None:
        self.plane.stop_pod(at, pod)
        if pod.node.name in self.kubelets:
            self.kubelets[pod.node.name].stop_pod(at, pod)

    def change(
        self, at: int, namespace: str, name: str, image: str, *, kind: str = "deployments", verb: str = "patch"
    ) -> None:
        container = {"name": name, "image": f"registry.example.com/{name}:{image}"}
        self.plane.apply(at, kind, namespace, name, {"spec": {"template": {"spec": {"containers": [container]}}}}, verb)

    def calm(self) -> list[Pod]:
        """Everybody who has no part in it, on this node and elsewhere; each reports its status once in the hour."""
        here = self.cluster.pods(CALM_HERE, HERE)
        others = [one for one in NODES if one is not HERE]
        away = [self.cluster.pods([key], others[at % len(others)])[0] for at, key in enumerate(CALM_ELSE)]
        people = Innocent(self.capture, self.dns, self.ports, self.rng, twins=True)
        people.pods(here, START, END, 1.7)
        people.pods(away, START, END, 0.8)
        people.probes(here[:7], START, END, 42)
        people.streams(here[:4], START, END, 12)
        people.oddities([*here, *away], START, END, 60)
        for at in spread(self.rng, START, END - SECOND, 2):
            self.dns.lookup(at, Stub(ip=here[1].ip, search=here[1].search), "telemetry.example.org")
        for at in spread(self.rng, START, END - 10 * SECOND, 4):
            self.dns.timeout(at, away[4].ip, "mail.example.com", "A")
        for pod in (*here, *away):
            self.report(pod)
        return here

    def report(self, pod: Pod) -> None:
        """A pod that was there before the hour began: its kubelet repeats its status, address included."""
        addresses = {"podIP": pod.ip, "podIPs": [{"ip": pod.ip}]}
        at = START + self.rng.randrange(7 * MINUTE)
        self.plane.status(at, self.plane.kubelets[pod.node.name], pod, {"phase": "Running"} | addresses)

    def metadata_noise(self, here: list[Pod]) -> None:
        """Clients of the metadata service that behave."""
        warm = Client(self.capture, self.ports, here[1].ip, NEW_SDK, ROLE)
        ready = warm.refresh(START + 3 * MINUTE, LONG_LIFE)
        for at in [ready + 2000, *spread(self.rng, START + 4 * MINUTE, END - 5 * SECOND, 30)]:
            warm.call(at, S3, 600, 900)
        runner = self.cluster.pod("platform", "backup-runner", HERE)
        polite(
            self.capture, self.ports, runner.ip, CLI, [START + minute * MINUTE + 700_000 for minute in range(5, 60, 10)]
        )
        watcher = self.cluster.pod("platform", "node-watch", HERE)
        checker = Client(self.capture, self.ports, watcher.ip, PROBE, ROLE)
        self.report(runner)
        self.report(watcher)
        for at in range(START + 11 * SECOND, END - SECOND, 60 * SECOND):
            health_check(checker, at)

    def charge_api(self) -> None:
        """13:08: a new base image, whose configuration has lost the final dots; undone at 13:52."""
        old = [self.cluster.pod("payments", "charge-api@5.11.4", one) for one, _ in CHARGES]
        new = [self.cluster.pod("payments", "charge-api@5.12.0", one) for one, _ in CHARGES]
        again = [self.cluster.pod("payments", "charge-api@5.11.4", one) for one, _ in CHARGES]
        self.change(CHARGE_CHANGE, "payments", "charge-api", "5.12.0")
        self.change(CHARGE_BACK, "payments", "charge-api", "5.11.4")
        for number, (was, bad, good) in enumerate(zip(old, new, again, strict=True)):
            self.report(was)
            self.absolute(was, START, CHARGE_CHANGE + number * 5 * SECOND)
            begin = self.start(CHARGE_CHANGE + SECOND + number * 4 * SECOND, bad)
            self.stop(begin + 400_000, was)
            end = self.start(CHARGE_BACK + SECOND + number * 4 * SECOND, good)
            self.stop(end + 400_000, bad)
            stub = Stub(ip=bad.ip, search=bad.search)
            for turn, at in enumerate(spread(self.rng, begin + 2 * SECOND, end, CHARGES[number][1])):
                at = self.dns.lookup(at, stub, OUTSIDE_NAMES[turn % len(OUTSIDE_NAMES)])
                if turn % 4 == 0:
                    self.dns.lookup(at + 4000, stub, "orders.checkout")
            self.absolute(good, end + SECOND, END)
            captured = bad.node is HERE
            self.truth.findings[f"dns-search-chain:{bad.ip}"] = figures(self.dns.tally(bad.ip), None, captured)

    def absolute(self, pod: Pod, start: int, end: int) -> None:
        """The version that writes its names with a final dot."""
        stub = Stub(ip=pod.ip, search=pod.search)
        for at in spread(self.rng, start + SECOND, end - SECOND, 5):
            self.dns.lookup(at, stub, self.rng.choice(OUTSIDE_NAMES) + ".")

    def exporter(self) -> None:
        """13:20: the manifest exporter comes back with an SDK of 2021 and a role session of 14 minutes; until 13:40."""
        new = self.cluster.pod("logistics", "manifest-exporter@1.9.0", HERE)
        self.change(EXPORT_CHANGE, "logistics", "manifest-exporter", "1.9.0")
        begin = self.start(EXPORT_CHANGE + SECOND, new)
        client = Client(self.capture, self.ports, new.ip, OLD_SDK, ROLE)
        stub = Stub(ip=new.ip, search=new.search, ndots=1)
        credential_storm(client, self.dns, stub, 34, (begin + 3 * SECOND, EXPORT_BACK - 20 * SECOND))
        self.change(EXPORT_BACK, "logistics", "manifest-exporter", "1.8.2")
        self.stop(EXPORT_BACK + 3 * SECOND, new)
        self.truth.findings[f"imds-credential-storm:{new.ip}"] = client.figures()

    def agents(self) -> None:
        """13:30: version 2.4.1 of the node agent is rolled out; from 13:31 the API server turns everybody away."""
        old, new, again = storm.generations(self.plane, self.cluster)
        storm.watch_quietly(self.plane, old, START, AGENT_CHANGE)
        self.change(AGENT_CHANGE, "monitoring", storm.AGENT, "2.4.1", kind="daemonsets")
        self.replace_agents(AGENT_CHANGE + 2 * SECOND, old, new)
        self.change(AGENT_BACK, "monitoring", storm.AGENT, "2.3.0", kind="daemonsets")
        storm.poll(self.plane, new, self.replace_agents(AGENT_BACK + 2 * SECOND, new, again), 8.0, 0.8)
        storm.watch_quietly(self.plane, again, AGENT_BACK + 50 * SECOND, END)

    def replace_agents(self, at: int, old: list[Pod], new: list[Pod]) -> list[int]:
        """Roll the DaemonSet; returns when each old pod was deleted."""
        deleted = self.plane.roll(at, old, new, 7 * SECOND)
        for when, was, will in zip(deleted, old, new, strict=True):
            log = self.kubelets.get(will.node.name)
            if log:
                log.stop_pod(when, was, grace=False)
                log.start_pod(when + REPLACED, will)
        return deleted

    def operator(self) -> None:
        """13:42: an operator is installed that writes its object in a loop; removed at 13:46."""
        self.change(OPERATOR_CHANGE, "platform", flood.OPERATOR, "3.0.0", verb="create")
        pod = self.cluster.pod("platform", flood.OPERATOR, NODES[5])
        self.start(OPERATOR_CHANGE + SECOND, pod)
        actor = flood.operator(self.plane, pod.ip, pod.name, pod.node.name)
        events, written = flood.hot_loop(self.plane, actor, *FLOOD, (52_000, 84_000), 1000)
        self.stop(FLOOD[1] - SECOND, pod)
        counted: dict[str, int | float] = {"records of the writer": events, "bytes of the writer": written}
        self.truth.findings[f"audit-log-flood:{flood.USER}"] = counted

    def complaints(self) -> None:
        """What the two kubelets say of the requests that were turned away."""
        by_user = {f"system:node:{name}": log for name, log in self.kubelets.items()}
        tries: dict[int, int] = {}
        for at, call in sorted(self.plane.turned_away, key=lambda one: one[0]):
            log = by_user.get(call.actor.username)
            tries[id(call)] = tries.get(id(call), 0) + 1
            if log:
                log.waited(at, call, tries[id(call)])
        for at, call in self.plane.gave_up:
            if call.actor.username in by_user:
                by_user[call.actor.username].gave_up(at, call)

    def save(self, guilty: int, here: list[Pod]) -> None:
        folder = HOME / NAME
        innocent = len(self.capture.frames) - guilty
        self.truth.counts = {"guilty packets": guilty, "innocent packets": innocent, "log lines": len(self.dns.lines)}
        self.truth.counts["audit records"] = len(self.plane.log.lines)
        for name, log in self.kubelets.items():
            one = next(node for node in NODES if node.name == name)
            log.murmur(here if one is HERE else self.neighbours(one), START, END)
            write(folder / f"kubelet-{name.split('.', 1)[0]}.log", log.text())
        write(folder / "node-ip-10-0-12-33.pcapng.gz", self.capture.pcapng((BRIDGE, UPLINK), "ip-10-0-12-33"))
        write(folder / "coredns.log", self.dns.log())
        self.plane.log.save(folder, ROTATED)
        self.truth.write(folder)

    def neighbours(self, on: Node) -> list[Pod]:
        return [self.cluster.pod("shop", "catalog", on), self.cluster.pod("search", "index", on)]


def main() -> None:
    case = Outage(random.Random(NAME))
    case.plane.beat(START, END)
    case.charge_api()
    case.exporter()
    guilty = len(case.capture.frames)
    here = case.calm()
    case.metadata_noise(here)
    case.agents()
    case.operator()
    case.truth.findings[f"apiserver-throttle-storm:{storm.AGENT}"] = storm.figures(case.plane, len(NODES))
    for number in range(5):
        case.plane.evict(START + 16 * MINUTE + number * 11 * SECOND, "search", here[6].name, "index")
    case.complaints()
    case.save(guilty, here)
