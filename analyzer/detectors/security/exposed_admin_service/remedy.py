"""How to close what is open, and how to see it in the originals."""

from __future__ import annotations

import re

import polars as pl

from analyzer.detectors.security.exposed_admin_service.exposed import Exposed
from analyzer.facts.shell import piped, tshark
from analyzer.model import Remedy

_SERVICE = """# reach it with kubectl port-forward from now on
kubectl -n {namespace} patch service {name} -p '{{"spec": {{"type": "ClusterIP"}}}}'

# or, if it must have a load balancer: for your own networks only
kubectl -n {namespace} patch service {name} -p '{{"spec": {{"loadBalancerSourceRanges": ["10.0.0.0/8"]}}}}'

# or an internal one, in the manifest, where the service is made anew:
metadata:
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-internal: "true"     # AWS
    service.beta.kubernetes.io/azure-load-balancer-internal: "true"   # Azure
    networking.gke.io/load-balancer-type: Internal                    # Google Cloud
"""

_POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: only-from-inside, namespace: {namespace}}}
spec:
  podSelector: {{}}
  policyTypes: [Ingress]
  ingress:
    - from: [{{namespaceSelector: {{}}}}]
"""

_CLOSE = Remedy(
    text="Take the service off the public network.", snippet=_SERVICE.format(name="NAME", namespace="NAMESPACE")
)
_ANONYMOUS = Remedy(
    text="Find who allows it (`kubectl get clusterrolebindings,rolebindings -A -o json`, subjects system:anonymous and "
    "system:unauthenticated), delete those bindings, and let the API server refuse anonymous callers but for health.",
    snippet="""apiVersion: apiserver.config.k8s.io/v1beta1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]
""",
)
_READ_ONLY = Remedy(
    text="Run consoles without controls (Weave Scope: `--probe.no-controls`), behind a login, with an account that may "
    "not exec, in a namespace that enforces the restricted Pod Security Standard.",
    snippet="kubectl label namespace NAMESPACE pod-security.kubernetes.io/enforce=restricted\n",
)
_AFTER = Remedy(
    text="Treat it as a break-in if strangers were answered: keep the pods for analysis, replace the credentials that "
    "they could reach, look for workloads that nobody of yours made."
)

REMEDIES = (_CLOSE, _ANONYMOUS, _READ_ONLY, _AFTER)

_SHOWN = 3
_NAME = r"(?a)[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
"""Names as the API server allows them (RFC 1123); what a log calls otherwise is never pasted into a shell."""


def remedies(one: Exposed) -> tuple[Remedy, ...]:
    if one.variant == "anonymous":
        return (_ANONYMOUS, _AFTER)
    if one.variant != "service":
        return (_CLOSE, _READ_ONLY, _AFTER)
    namespace, name = _sound(one)
    close = Remedy(text=_CLOSE.text, snippet=_SERVICE.format(name=name, namespace=namespace))
    wall = Remedy(text="Let only pods of the cluster reach the namespace.", snippet=_POLICY.format(namespace=namespace))
    return (close, wall, _READ_ONLY, _AFTER)


def _sound(one: Exposed) -> tuple[str, str]:
    """Namespace and name. A quoted `--kubeconfig=...` would still be an option, and such a file can name programs."""
    namespace, _, name = one.subject.partition("/")
    sound = {one: bool(re.fullmatch(_NAME, one)) for one in (namespace, name)}
    return namespace if sound[namespace] else "NAMESPACE", name if sound[name] else "NAME"


def verify(one: Exposed) -> tuple[str, ...]:
    """Commands that print the records on the original inputs, then the state of the cluster."""
    commands = [
        f"{piped(source)} | sed -n '{';'.join(f'{number}p' for number in numbers)}'"
        for source, numbers in _places(one.writes, one.anonymous, one.account)
    ]
    for (source,), rows in one.connections.group_by(["source"], maintain_order=True):
        port = rows["server_port"].to_list()[0]
        commands.append(f"{tshark(str(source))} -Y 'tcp.port == {port} && (tcp.flags.syn == 1 || http)'")
    if one.variant == "service":
        namespace, name = _sound(one)
        commands.append(f"kubectl -n {namespace} get service {name} -o yaml")
    elif one.variant == "anonymous":
        commands.append("kubectl auth can-i --list --as=system:anonymous --as-group=system:unauthenticated")
    return tuple(commands)


def _places(*frames: pl.DataFrame) -> list[tuple[str, list[int]]]:
    rows = pl.concat([frame.select("source", "number").head(_SHOWN) for frame in frames]).unique()
    found = rows.group_by("source").agg(pl.col("number").sort()).sort("source")
    return [(source, numbers) for source, numbers in found.iter_rows()]
