"""A service for administration is open to strangers."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.detectors.security.exposed_admin_service import DETECTOR
from analyzer.frames import AUDIT_EVENTS, AUDIT_SERVICE_PORTS, HTTP_MESSAGES, PACKETS, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run
from tests.calls import call
from tests.detectors.security.mining import connection

STRANGER, POD = "203.0.113.66", "10.244.1.9"
Row = dict[str, Any]


def service(time: float = 0, *, verb: str = "create", **more: Any) -> Row:
    """What the body of a write says: Weave Scope behind a public load balancer, unless told otherwise."""
    told = {"namespace": "weave", "name": "weave-scope-app", "type": "LoadBalancer", "port": 80, "target_port": "4040"}
    same = {"protocol": "TCP", "internal": False, "source_ranges": "", "body": "response"}
    return {"time": time, "verb": verb, **told, **same} | more


def audit(*services: Row, calls: list[Row] | None = None) -> dict[Table, pl.LazyFrame]:
    """The audit log of these writes of services, and of other requests."""
    named = [row | {"audit_id": f"s{n}", "number": n + 1} for n, row in enumerate(services)]
    writes = [
        call(row["time"], audit_id=row["audit_id"], verb=row["verb"], resource="services", api_group="", user="alice")
        | {"agent": "kubectl", "namespace": row["namespace"], "name": row["name"], "number": row["number"]}
        | {"request_body_bytes": 400}
        for row in named
    ]
    others = [one | {"audit_id": f"c{n}", "number": 1000 + n} for n, one in enumerate(calls or [])]
    made = {AUDIT_EVENTS: rows(AUDIT_EVENTS, *writes, *others, source="audit.log")}
    return made | ({AUDIT_SERVICE_PORTS: rows(AUDIT_SERVICE_PORTS, *named, source="audit.log")} if named else {})


def capture(*packets: list[Row], http: list[Row] | None = None) -> dict[Table, pl.LazyFrame]:
    every = sorted((row for part in packets for row in part), key=lambda row: row["time"])
    return {
        PACKETS: rows(PACKETS, *every, source="node.pcap"),
        HTTP_MESSAGES: rows(HTTP_MESSAGES, *(http or []), source="node.pcap"),
    }


def visit(time: float, *, port: int = 4040, client: str = STRANGER, server: str = POD, **more: Any) -> list[Row]:
    return connection(time, 10, client=client, server=server, port=port, **more)


def asked(
    time: float, path: str, status: int = 200, *, number: int = 100, client: str = STRANGER, **more: Any
) -> list[Row]:
    """An HTTP request of the visit, and its answer."""
    ends = {"src": client, "src_port": 40000, "dst": POD, "dst_port": 4040}
    back = {"src": POD, "src_port": 4040, "dst": client, "dst_port": 40000}
    same = {"metadata": False, "duplicate": False, "wire_bytes": 300}
    request = {"time": time, "number": number, "response": False, "method": "POST", "path": path, **ends, **same}
    return [
        request | more,
        {"time": time + 0.1, "number": number + 1, "response": True, "status": status, **back, **same},
    ]


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_a_console_behind_a_public_load_balancer() -> None:
    [finding] = run(DETECTOR, audit(service()))
    assert (finding.subject, finding.variant) == ("weave/weave-scope-app", "service")
    assert finding.summary == (
        "Weave Scope was opened through a public load balancer by alice: service weave/weave-scope-app, port 4040."
    )
    assert figures(finding) == {
        "port": 4040,
        "anonymous requests allowed": 0,
        "exec calls among them": 0,
        "connections from public addresses": 0,
        "public addresses": 0,
    }
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert (finding.start, finding.stories) == (at(0), (34,))
    assert finding.verify == (
        "zcat -f < audit.log | sed -n '1p'",
        "kubectl -n weave get service weave-scope-app -o yaml",
    )
    assert "loadBalancerSourceRanges" in finding.remedies[0].snippet


def test_fires_and_counts_the_strangers_that_were_answered() -> None:
    http = asked(1, "/api/topology") + asked(2, "/api/control/a/b/docker_exec_container", number=200)
    http += asked(3, "/api/secret", 403, number=300)
    [finding] = run(DETECTOR, audit(service()) | capture(visit(0), http=http))
    assert figures(finding) == {
        "port": 4040,
        "anonymous requests allowed": 2,
        "exec calls among them": 1,
        "connections from public addresses": 1,
        "public addresses": 1,
    }
    assert (finding.severity, finding.confidence) == (Severity.CRITICAL, Confidence.HIGH)


@pytest.mark.parametrize(
    ("more", "product"),
    [
        ({"name": "rabbitmq", "port": 15672, "target_port": None}, "RabbitMQ's management"),
        ({"name": "kubernetes-dashboard", "port": 443, "target_port": "8443"}, "Kubernetes Dashboard"),
        ({"name": "web", "selector": "app.kubernetes.io/name=argocd-server", "target_port": "8080"}, "Argo CD"),
        ({"name": "docker", "port": 2375, "target_port": "2375"}, "the Docker API"),
        ({"name": "weave-scope-app", "source_ranges": "0.0.0.0/0"}, "Weave Scope"),
    ],
)
def test_fires_on_other_consoles_by_port_or_name(more: Row, product: str) -> None:
    [finding] = run(DETECTOR, audit(service(0, **({"namespace": "ops"} | more))))
    assert finding.summary.startswith(f"{product} was opened")


def test_a_port_of_the_nodes_is_medium_until_strangers_are_seen_at_it() -> None:
    opened = service(type="NodePort", node_port=31840)
    [finding] = run(DETECTOR, audit(opened))
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.LOW)
    [seen] = run(DETECTOR, audit(opened) | capture(visit(0, port=31840, server="10.0.12.33")))
    assert (seen.severity, seen.confidence) == (Severity.HIGH, Confidence.HIGH)


def test_a_port_that_others_use_too_is_low() -> None:
    [finding] = run(DETECTOR, audit(service(name="web", namespace="shop", port=9090, target_port=None)))
    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.LOW)


LOOK_ALIKES = {
    "internal": service(internal=True),
    "source ranges": service(source_ranges="198.51.100.0/24"),
    "private address": service(balancer="192.168.40.12"),
    "internal name": service(balancer="internal-a91-77.us-east-1.elb.amazonaws.com"),
    "cluster ip": service(type="ClusterIP"),
    "udp": service(protocol="UDP"),
    "an application": service(name="storefront", namespace="shop", target_port="8080"),
    "ingress": service(name="ingress-nginx-controller", namespace="ingress-nginx", port=9090, target_port="https"),
    "ingress at 8443": service(name="istio-ingressgateway", namespace="istio", port=8443, target_port="8443"),
    "telescope": service(name="telescope", namespace="shop", target_port="3000"),
}


@pytest.mark.parametrize("opened", LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_silent_on(opened: Row) -> None:
    assert run(DETECTOR, audit(opened)) == []
    assert remarks(DETECTOR, audit(opened)) == []


def test_silent_on_a_common_port_with_a_word() -> None:
    opened = service(name="api", namespace="shop", port=8080, target_port=None)
    assert run(DETECTOR, audit(opened)) == []
    assert remarks(DETECTOR, audit(opened)) == [
        "Public load balancers at ports that dashboards use, and many applications too: shop/api port 8080"
    ]


def test_silent_where_it_was_open_for_less_than_the_threshold() -> None:
    def closed(after: float) -> list[Finding]:
        return run(DETECTOR, audit(service(), service(after, verb="update", type="ClusterIP")))

    assert closed(59) == []
    [finding] = closed(60)
    assert figures(finding)["seconds open"] == pytest.approx(60)
    assert finding.end == at(60)


def test_two_services_are_two_findings_and_two_ports_of_one_are_one() -> None:
    other = service(1, name="rabbitmq", namespace="ops", port=15672, target_port=None)
    found = run(DETECTOR, audit(service(), other))
    assert [one.subject for one in found] == ["weave/weave-scope-app", "ops/rabbitmq"]
    second = service(name="weave-scope-app", port=4041, target_port="4041")
    evidence = audit(service())
    evidence[AUDIT_SERVICE_PORTS] = rows(
        AUDIT_SERVICE_PORTS, *(row | {"audit_id": "s0", "number": 1} for row in (service(), second)), source="audit.log"
    )
    assert len(run(DETECTOR, evidence)) == 1


def nobody(time: float, verb: str = "list", **more: Any) -> Row:
    target: Row = {"resource": "pods", "api_group": "", "namespace": "shop", "uri": "/api/v1/namespaces/shop/pods"}
    who: Row = {"user": "system:anonymous", "agent": "curl", "source_ip": STRANGER}
    return call(time, verb=verb, **target, **who) | more


def test_fires_on_anonymous_requests_that_were_allowed() -> None:
    calls = [nobody(0), nobody(5), nobody(9, "get", subresource="exec", name="web-1", code=101)]
    [finding] = run(DETECTOR, audit(calls=calls))
    assert (finding.subject, finding.variant) == ("system:anonymous", "anonymous")
    assert figures(finding) == {"anonymous requests allowed": 3, "exec calls among them": 1}
    assert finding.stories == ()
    assert (finding.severity, finding.confidence) == (Severity.CRITICAL, Confidence.HIGH)
    assert "3 requests without any credential. 1 of them ran commands" in finding.summary
    [reads] = run(DETECTOR, audit(calls=calls[:2]))
    assert reads.severity is Severity.HIGH
    [writes] = run(DETECTOR, audit(calls=[nobody(0, "create")]))
    assert writes.severity is Severity.CRITICAL


def test_below_the_threshold_of_requests_it_is_silent() -> None:
    assert run(DETECTOR, audit(calls=[nobody(0)]), min_requests=2) == []
    assert len(run(DETECTOR, audit(calls=[nobody(0), nobody(1)]), min_requests=2)) == 1


BY_DESIGN = {
    "health": {"resource": None, "path": "/readyz", "uri": "/readyz"},
    "a check": {"resource": None, "path": "/livez/etcd", "uri": "/livez/etcd"},
    "version": {"resource": None, "path": "/version", "uri": "/version"},
    "discovery": {"resource": None, "path": "/apis/apps/v1", "uri": "/apis/apps/v1"},
    "openid": {"resource": None, "path": "/.well-known/openid-configuration"},
    "cluster-info": {"resource": "configmaps", "namespace": "kube-public", "name": "cluster-info"},
    "own access": {"resource": "selfsubjectaccessreviews", "namespace": None},
    "forbidden": {"decision": "forbid", "code": 403},
    "unauthorised": {"decision": None, "code": 401},
    "somebody": {"user": "alice"},
}


@pytest.mark.parametrize("more", BY_DESIGN.values(), ids=BY_DESIGN)
def test_silent_on_what_all_may_read_and_on_refusals(more: Row) -> None:
    assert run(DETECTOR, audit(calls=[nobody(0, "get") | more])) == []


def test_fires_on_a_path_that_nobody_should_read() -> None:
    calls = [nobody(0, "get") | {"resource": None, "path": "/metrics", "uri": "/metrics"}]
    assert len(run(DETECTOR, audit(calls=calls))) == 1


def exec_by(account: str, **more: Any) -> Row:
    namespace, name = account.split(":")
    who: Row = {"user": f"system:serviceaccount:{account}", "agent": "scope", "resource": "pods", "subresource": "exec"}
    names: Row = {"service_account_namespace": namespace, "service_account": name, "uri": "/x", "api_group": ""}
    return call(30, verb="create", **who, **names) | more


def test_commands_run_by_the_account_of_a_console() -> None:
    [finding] = run(DETECTOR, audit(calls=[exec_by("weave:weave-scope")]))
    assert (finding.subject, finding.variant) == ("system:serviceaccount:weave:weave-scope", "exec")
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    [joined] = run(DETECTOR, audit(service(), calls=[exec_by("weave:weave-scope")]))
    assert figures(joined)["commands run by its account"] == 1
    assert joined.summary.endswith("Its account ran 1 command.")


def test_silent_on_commands_of_other_accounts() -> None:
    others = [exec_by("ci:jenkins"), exec_by("weave:x", decision="forbid", code=403)]
    assert run(DETECTOR, audit(calls=[*others, exec_by("weave:x", impersonated_user="ann")])) == []


def test_fires_on_connections_from_outside_to_a_port_of_administration() -> None:
    [finding] = run(DETECTOR, capture(visit(0, port=2375), visit(20, port=2375, client="198.51.100.9")))
    assert (finding.subject, finding.variant) == (POD, "connections")
    assert finding.summary == (
        "10.244.1.9 answered 2 connections from 2 public addresses at port 2375, the Docker API."
    )
    assert (finding.severity, finding.confidence) == (Severity.HIGH, Confidence.MEDIUM)
    assert figures(finding)["port"] == 2375
    assert run(DETECTOR, capture(visit(0, port=2375)), min_connections=2) == []


@pytest.mark.parametrize(
    "packets",
    [
        visit(0, answered=False),
        visit(0, client="10.0.12.90"),
        visit(0, server="198.51.100.9"),
        visit(0, port=8080),
        visit(0, port=10250),
    ],
    ids=["no answer", "from inside", "to outside", "another port", "one client of the kubelet: a control plane"],
)
def test_silent_on_other_connections(packets: list[Row]) -> None:
    assert run(DETECTOR, capture(packets)) == []


API = ("198.51.100.4", "198.51.100.5", "198.51.100.6", "198.51.100.7", "198.51.100.8", "198.51.100.9")


def managed(count: int, **more: Any) -> list[Row]:
    """Connections of so many addresses to the port of the kubelet."""
    return [row for i, client in enumerate(API[:count]) for row in visit(i * 20, port=10250, client=client, **more)]


def knocks(client: str, *ports: int) -> list[Row]:
    return [row for i, port in enumerate(ports) for row in visit(300 + i, port=port, client=client, answered=False)]


@pytest.mark.parametrize(("count", "fires"), [(2, False), (5, False), (6, True)])
def test_few_addresses_at_the_kubelets_port_may_be_a_control_plane_outside(count: int, fires: bool) -> None:
    evidence = capture(managed(count))
    assert bool(run(DETECTOR, evidence)) is fires
    if not fires:
        [text] = remarks(DETECTOR, evidence)
        assert text.startswith(f"10.244.1.9 answered {count} connections from {count} public addresses at port 10250")
        assert "a control plane outside the cluster connects so, for logs and commands" in text
        assert "which 401 should answer, from outside." in text


def test_addresses_that_the_nodes_speak_to_themselves_are_no_strangers_however_many() -> None:
    own = [row for i, to in enumerate(API[:2]) for row in visit(200 + i, port=443, client="10.0.12.33", server=to)]
    assert run(DETECTOR, capture(managed(6), own)) == []
    [text] = remarks(DETECTOR, capture(managed(6), own))
    assert "from 6 public addresses (the nodes connect to 2 of them themselves) at port 10250" in text


@pytest.mark.parametrize(("ports", "fires"), [((2375,), False), ((2375, 22), True), ((10250, 2379), False)])
def test_who_knocks_at_other_doors_in_vain_is_no_control_plane(ports: tuple[int, ...], fires: bool) -> None:
    found = run(DETECTOR, capture(managed(2), knocks(API[0], *ports)))
    assert bool(found) is fires
    if fires:
        assert (found[0].severity, figures(found[0])["public addresses"]) == (Severity.HIGH, 2)


def test_the_pods_in_which_an_account_ran_commands_are_named() -> None:
    ran = [exec_by("weave:weave-scope", namespace="shop", name=name) for name in ("web-1", "web-1", "web-2")]
    [finding] = run(DETECTOR, audit(service(), calls=ran))
    table = finding.evidence.tables[-1]
    assert table.caption == "Pods in which commands were run"
    assert [row[:2] for row in table.rows] == [("shop/web-1", 2), ("shop/web-2", 1)]


def test_silent_without_rows_and_it_says_where_bodies_are_missing() -> None:
    nothing = {table: empty(table).lazy() for table in (AUDIT_EVENTS, AUDIT_SERVICE_PORTS, PACKETS, HTTP_MESSAGES)}
    assert run(DETECTOR, nothing) == []
    bare = audit(service())
    del bare[AUDIT_SERVICE_PORTS]
    bare[AUDIT_EVENTS] = bare[AUDIT_EVENTS].with_columns(request_body_bytes=pl.lit(0, pl.Int64))
    assert run(DETECTOR, bare) == []
    assert remarks(DETECTOR, bare) == [
        "1 writes of services were logged without bodies: which ports they opened, and to whom, is not told"
    ]


def test_five_hundred_other_rows_change_nothing_and_without_the_evidence_it_goes() -> None:
    others = [call(n, verb="get", resource="pods", api_group="", user="alice", uri="/x") for n in range(500)]
    [alone] = run(DETECTOR, audit(service()) | capture(visit(0)))
    noise = connection(3, 90, client="10.244.9.9", server="10.0.0.3", port=5432)
    [beside] = run(DETECTOR, audit(service(), calls=others) | capture(visit(0), noise))
    assert (figures(beside), beside.summary, beside.severity) == (figures(alone), alone.summary, alone.severity)
    assert run(DETECTOR, audit(calls=others) | capture(noise)) == []


def test_writes_without_a_time_are_told_without_one() -> None:
    evidence = audit(service())
    evidence[AUDIT_SERVICE_PORTS] = evidence[AUDIT_SERVICE_PORTS].with_columns(
        time=pl.lit(None, pl.Datetime("us", "UTC"))
    )
    [finding] = run(DETECTOR, evidence)
    assert (finding.subject, finding.start) == ("weave/weave-scope-app", None)


def test_the_worst_comes_first() -> None:
    found = run(DETECTOR, audit(service(), calls=[nobody(50, "create")]))
    assert [one.severity for one in found] == [Severity.CRITICAL, Severity.HIGH]


def test_a_hostile_name_is_never_pasted_into_a_shell() -> None:
    [finding] = run(DETECTOR, audit(service(namespace="a b;reboot", name="weave-scope")))
    assert all("reboot" not in remedy.snippet for remedy in finding.remedies)
    assert "kubectl -n NAMESPACE get service weave-scope -o yaml" in finding.verify


def test_a_name_that_kubectl_would_take_for_an_option_is_left_out() -> None:
    """A kubeconfig can name programs that kubectl runs (client.authentication.k8s.io, exec)."""
    [finding] = run(DETECTOR, audit(service(name="--kubeconfig=weave-scope", namespace="--kubeconfig=x")))
    assert "kubectl -n NAMESPACE get service NAME -o yaml" in finding.verify
    assert [remedy for remedy in finding.remedies if "kubeconfig" in remedy.snippet] == []


def test_one_is_one() -> None:
    [seen] = run(DETECTOR, audit(service()) | capture(visit(0), http=asked(1, "/api/topology")))
    assert seen.summary.endswith(" 1 connection from 1 public address was answered. 1 request was allowed.")
    [anonymous] = run(DETECTOR, audit(calls=[nobody(0)]))
    assert anonymous.summary == "The API server allowed 1 request without any credential."


@pytest.mark.parametrize(
    "more",
    [
        {"name": "grafana", "selector": "app.kubernetes.io/instance=prometheus,app.kubernetes.io/name=grafana"},
        {"name": "storefront", "port_name": "prometheus"},
        {"name": "storefront", "namespace": "jenkins"},
        {"name": "storefront", "selector": "prometheus=scraped"},
    ],
)
def test_an_application_that_only_has_to_do_with_a_console_is_none(more: Row) -> None:
    assert run(DETECTOR, audit(service(0, **({"namespace": "shop", "target_port": "3000"} | more)))) == []


def test_a_port_alone_does_not_say_that_it_is_weave_scope() -> None:
    [finding] = run(DETECTOR, audit(service(name="spark-ui", namespace="shop")))
    assert finding.summary.startswith("Weave Scope or another console was opened")


def test_what_was_only_tried_opens_and_closes_nothing() -> None:
    """`kubectl diff` and `--dry-run=server` are answered as if they had been done."""
    tried = audit(service(verb="patch"))
    dry = pl.col("uri").fill_null("/api/v1/x") + "?dryRun=All&fieldManager=diff"
    tried[AUDIT_EVENTS] = tried[AUDIT_EVENTS].with_columns(uri=dry)
    assert run(DETECTOR, tried) == []
    gone = call(600, verb="delete", resource="services", api_group="", namespace="weave", name="weave-scope-app")
    closed = run(DETECTOR, audit(service(), calls=[gone]))
    left = run(DETECTOR, audit(service(), calls=[gone | {"uri": "/api/v1/namespaces/weave/services/w?dryRun=All"}]))
    assert [figures(one).get("seconds open") for one in (*closed, *left)] == [600, None]


def test_two_results_are_compared_by_requests_never_by_the_port() -> None:
    [finding] = run(DETECTOR, audit(service()))
    assert finding.impact[0].name == "anonymous requests allowed"
