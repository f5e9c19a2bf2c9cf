"""Which admission check refused an object, by what the server answered.

The texts, each with its source in kubernetes:

* `admission webhook "N" denied the request: ..`: apiserver `pkg/admission/plugin/webhook/errors/statuserror.go`
* `failed calling webhook "N": ..`, until 1.13 `failed calling admission webhook`: `pkg/admission/plugin/webhook/errors`
* `violates PodSecurity "restricted:latest": ..`: `staging/src/k8s.io/pod-security-admission/admission/admission.go`
* `exceeded quota: N, requested: .., used: .., limited: ..` and `failed quota: N: must specify ..`: apiserver
  `pkg/admission/plugin/resourcequota/controller.go`
* `ValidatingAdmissionPolicy 'N' with binding 'B' denied request: ..`: apiserver
  `pkg/admission/plugin/policy/validating/dispatcher.go`
* `unable to validate against any pod security policy` until 1.24, `.. security context constraint` on OpenShift
* `minimum cpu usage per Container is ..`: `plugin/pkg/admission/limitranger/admission.go`
"""

from __future__ import annotations

import polars as pl

DENIED = "webhook denial"
FAILING = "webhook failure"
POD_SECURITY = "PodSecurity"
QUOTA = "quota"
POLICY = "ValidatingAdmissionPolicy"
CONSTRAINT = "security policy"
RANGE = "LimitRange"

_FORMS = (
    (FAILING, r'failed calling (?:admission )?webhook "([^"]{1,253})"'),
    (DENIED, r'admission webhook "([^"]{1,253})" denied the request'),
    (POD_SECURITY, r'violates PodSecurity "([^"]{1,60})"'),
    (QUOTA, r"(?:exceeded|failed) quota: ([^,: ]{1,253})[,:]"),
    (POLICY, r"ValidatingAdmissionPolicy '([^']{1,253})'.{0,300}? denied request"),
    (CONSTRAINT, r"unable to validate against any (pod security policy|security context constraint)"),
    (
        RANGE,
        r"((?:minimum|maximum) [a-z0-9./-]+ (?:usage|request|limit) per (?:Container|Pod|PersistentVolumeClaim)) is",
    ),
)

HINTS = (
    *(
        "failed calling",
        "denied the request",
        "denied request",
        "violates PodSecurity",
        "exceeded quota",
        "failed quota",
    ),
    *("unable to validate against any", " per Container", " per Pod", " per PersistentVolumeClaim"),
)
"""One of these stands in every such text: many lines are looked through for them quickly."""

_CAUSES = (
    ("timeout", r"context deadline exceeded|Client\.Timeout|i/o timeout|TLS handshake timeout|Timeout exceeded"),
    ("TLS", r"x509:|tls:|certificate|server gave HTTP response to HTTPS client"),
    ("unreachable", r"refused|no route to host|no such host|unreachable|connection reset|EOF|no endpoints|not found"),
)
"""Why a webhook could not be called, by the errors of Go's net, crypto/tls and net/http, and of the resolver."""


def check(text: pl.Expr) -> pl.Expr:
    """The check that refused: webhook denial, webhook failure, PodSecurity ...; null where no admission check did."""
    return _first(text, [(pl.lit(kind), form) for kind, form in _FORMS]).alias("check")


def policy(text: pl.Expr) -> pl.Expr:
    """Its name: of a webhook, a quota, a policy, the level of PodSecurity; null where `check` is."""
    return _first(text, [(text.str.extract(form, 1), form) for _, form in _FORMS]).alias("policy")


def cause(text: pl.Expr) -> pl.Expr:
    """Of a webhook failure: timeout, TLS, unreachable or other; null for other checks."""
    told = pl.when(check(text) == FAILING).then(text)
    known = _first(told, [(pl.lit(name), form) for name, form in _CAUSES])
    return pl.coalesce(known, pl.when(told.is_not_null()).then(pl.lit("other"))).alias("cause")


def _first(text: pl.Expr, forms: list[tuple[pl.Expr, str]]) -> pl.Expr:
    found = pl.lit(None, pl.String)
    for then, form in reversed(forms):
        found = pl.when(text.str.contains(form)).then(then).otherwise(found)
    return found
