"""Logs of the proxies that hand out credentials for the metadata service: kube2iam and kiam's agent.

Both write logrus's logfmt or JSON, one object a line:

    time="2023-05-18T08:16:35Z" level=info msg="GET /latest/... (404) took 2693.093905 ms" req.method=GET
        req.path=/latest/... req.remote=10.0.0.7 res.duration=2693.093905 res.status=404
    {"addr":"10.0.0.7:34940","level":"error","method":"GET","msg":"error processing request: ...","path":"/latest/...",
        "status":500,"time":"2018-03-15T07:02:32Z"}

(jtblin/kube2iam, server/server.go and pod.go; uswitch/kiam, pkg/aws/metadata/handlers.go and log.go.) The unit of
kube2iam's res.duration changed from nanoseconds to milliseconds; the message tells which. Response headers, which kiam
logs, are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder
from msgspec.structs import replace

from analyzer.frames import IAM_PROXY_MESSAGES
from analyzer.sources.audit.shape import Ahead
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.kernellines import bounded
from analyzer.sources.lines import line_frame, quote_lines, text_head, windows
from analyzer.sources.logfmt import HEAD, fields
from analyzer.sources.secrets import scrub_column
from analyzer.sources.textwindow import Window
from analyzer.sources.times import parse_rfc3339
from analyzer.sources.wrappers import Kind, Wrapper, detect_wrapper, unwrap

LOOKED_AT = 200
"""Lines of the first bytes that decide."""

_KEYS = (
    *("time", "level", "msg", "req.method", "req.path", "req.remote", "res.duration", "res.status"),
    *("method", "path", "addr", "status", "pod.ip"),
    *("pod.iam.role", "params.iam.role", "ns.name", "pod.name", "pod.namespace", "pod.status.ip", "pod.status.phase"),
)
_KUBE2IAM = r'(?:^|[ "])(?:req\.remote|pod\.iam\.role)[="]|msg[=":]+Using fallback role for IP '
_KIAM = r'msg[=":]+(?:processed request|error processing request: |error finding role for pod: )'
_WORDS = (
    *(b"req.remote", b"pod.iam.role", b"Using fallback role for IP "),
    *(b"processed request", b"error processing request: ", b"error finding role for pod: "),
)
"""What the lines that these two are found by hold, whatever is wrapped around them."""
_JSON = r'^\{.*"level":".*"msg":'
_CUT = r"^(?:\{.*|t(?:i(?:m(?:e(?:=.*)?)?)?)?)$"
"""How an unfinished last line may look."""

_OBJECT = Decoder(dict[str, Raw])


def identify(head: bytes) -> Match | None:
    """By lines in logrus's forms with fields or messages that only these proxies write."""
    text = text_head(head)
    if not any(words in text for words in _WORDS):  # every input is asked, and few are of such a proxy
        return None
    lines = _head(head)[1]["text"].head(LOOKED_AT)
    own = int((lines.str.contains(_KUBE2IAM) | lines.str.contains(_KIAM)).sum())
    shaped = int(_shaped(lines).sum())
    if not own or 2 * shaped < lines.len():
        return None
    return Match(0.85, f"{own} of the first {lines.len()} lines are a credential proxy's (kube2iam, kiam)")


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of IAM_PROXY_MESSAGES, one row per line. Lines in neither form (panics, glog) are `not-a-record`."""
    ahead = Ahead(stream)
    wrapper, first = _head(ahead.head)
    component = _component(first["text"].head(LOOKED_AT))
    for frame in unwrap(windows(ahead, ledger), wrapper, ledger):
        own = _shaped(frame["text"])
        others = frame.filter(~own)
        cut = others["open"] & others["text"].str.contains(_CUT)
        if cut.any():
            ledger.tail()
            others = others.filter(~cut)
        ledger.skip("not-a-record", others["number"].head(3).to_list(), others.height)
        if (rows := _rows(frame.filter(own), item, component, ledger)).height:
            yield {IAM_PROXY_MESSAGES: rows}


def _head(head: bytes) -> tuple[Wrapper, pl.DataFrame]:
    """The wrapper without the program's own JSON, which looks like a shipper's, and the lines in it."""
    text = text_head(head)
    whole = text[: text.rfind(b"\n") + 1] or text
    wrapper = detect_wrapper(head)
    bare = _without_json(wrapper)
    for one in dict.fromkeys((bare, wrapper)):
        lines = pl.concat([line_frame(Window(1, b"")).select("number", "text"), *_texts(whole, one)])
        if one == wrapper or int(lines["text"].str.contains(_JSON).sum()) * 2 >= max(lines.height, 1):
            return one, lines
    raise AssertionError("the wrapper itself always fits")


def _texts(data: bytes, wrapper: Wrapper) -> Iterator[pl.DataFrame]:
    for frame in unwrap([Window(1, data)], wrapper, Ledger()):
        yield frame.select("number", "text")


def _without_json(wrapper: Wrapper) -> Wrapper:
    if wrapper.inner is not None:
        inner = _without_json(wrapper.inner)
        return replace(wrapper, inner=None if inner == Wrapper() else inner)
    return replace(wrapper, kind=Kind.RAW) if wrapper.kind is Kind.JSON else wrapper


def _shaped(text: pl.Series) -> pl.Series:
    return text.str.contains(HEAD) | text.str.contains(_JSON)


def _component(text: pl.Series) -> str | None:
    kube2iam, kiam = int(text.str.contains(_KUBE2IAM).sum()), int(text.str.contains(_KIAM).sum())
    return "kube2iam" if kube2iam > kiam else "kiam" if kiam else None


def _rows(lines: pl.DataFrame, item: Item, component: str | None, ledger: Ledger) -> pl.DataFrame:
    """Rows of whole lines, which are used; damaged ones go to the ledger."""
    found, whole = _fields(lines["text"])
    own = parse_rfc3339(found["time"])
    whole &= found["msg"].is_not_null() & own.is_not_null()
    cut = lines.filter(~whole)
    if cut["open"].any():
        ledger.tail()
    wrong = cut.filter(~pl.col("open"))["number"]
    ledger.skip("malformed line", wrong.head(3).to_list(), wrong.len())
    frame = pl.concat([lines.select("number", "host"), found.with_columns(own.alias("time"))], how="horizontal")
    rows = _columns(frame.filter(whole), component).with_columns(source=pl.lit(item.id))
    ledger.use(rows.height)
    ledger.span(rows["time"].min(), rows["time"].max())  # type: ignore[arg-type]  # untyped by polars
    return IAM_PROXY_MESSAGES.check(rows.select(IAM_PROXY_MESSAGES.schema.names()).lazy()).collect()


def _fields(text: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """The fields of both forms, and which lines are whole."""
    found, whole = fields(text, _KEYS)
    objects = text.str.starts_with("{")
    if not objects.any():
        return found, whole
    # One decode a line: a proxy writes as many as its clients ask, not as many as packets pass.
    decoded = [_object(one) for one in text.filter(objects).to_list()]
    at = objects.arg_true()
    made = pl.DataFrame(
        [[(one or {}).get(key) for one in decoded] for key in _KEYS], schema=dict.fromkeys(_KEYS, pl.String())
    )
    merged = found.with_columns(found[key].scatter(at, made[key]).alias(key) for key in _KEYS)
    return merged, whole.scatter(at, pl.Series([one is not None for one in decoded], dtype=pl.Boolean))


def _object(line: str) -> dict[str, str | None] | None:
    """The fields of one JSON line as text; None where it is no object."""
    try:
        told = _OBJECT.decode(line)
        return {key: _text(told[key]) for key in _KEYS if key in told}
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
        return None


_STRING = Decoder(str)


def _text(value: Raw) -> str | None:
    plain = bytes(value)
    if plain[:1] == b'"':
        return _STRING.decode(plain)
    return plain.decode() if plain[:1] not in b"{[n" else None


def _columns(found: pl.DataFrame, component: str | None) -> pl.DataFrame:
    message = scrub_column(bounded(found["msg"]))
    remote = pl.coalesce("req.remote", pl.col("addr").str.replace(r":[0-9]+$", "").str.strip_chars("[]"), "pod.ip")
    status = pl.coalesce("res.status", "status").cast(pl.Int32, strict=False)
    took = pl.col("res.duration").cast(pl.Float64, strict=False)
    milliseconds = pl.col("msg").str.contains(r" ms$")
    kube2iam = pl.any_horizontal(pl.col(key).is_not_null() for key in ("req.remote", "pod.iam.role"))
    kiam = pl.any_horizontal(pl.col(key).is_not_null() for key in ("addr", "pod.ip"))
    name = pl.col("pod.namespace") + "/" + pl.col("pod.name")
    return found.select(
        "number",
        "host",
        "time",
        "level",
        message.alias("message"),
        component=pl.when(kube2iam)
        .then(pl.lit("kube2iam"))
        .when(kiam)
        .then(pl.lit("kiam"))
        .otherwise(pl.lit(component)),
        client=_address(remote),
        method=pl.coalesce("req.method", "method"),
        path=pl.coalesce("req.path", "path").str.replace(r"\?.*$", "").str.head(512),
        status=pl.when(status.is_between(100, 599)).then(status),
        duration_seconds=took * pl.when(milliseconds).then(1e-3).otherwise(1e-9),
        role=_filled("pod.iam.role"),
        wanted_role=_filled("params.iam.role"),
        namespace=pl.coalesce(_filled("ns.name"), _filled("pod.namespace")),
        pod=name,
        pod_ip=_address(pl.col("pod.status.ip")),
        phase=_filled("pod.status.phase"),
    )


def _filled(key: str) -> pl.Expr:
    return pl.when(pl.col(key) != "").then(pl.col(key))


def _address(text: pl.Expr) -> pl.Expr:
    """IPv4 as it stands (Go writes it in its one form), IPv6 in lower case as Go writes it; null for anything else."""
    four = text.str.contains(r"^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$")
    six = text.str.contains(r"^[0-9a-f]*:[0-9a-f:.]+$")
    return pl.when(four | six).then(text)


SOURCE = Source(
    name="iam-proxy",
    title="log of a credential proxy (kube2iam, kiam)",
    tables=(IAM_PROXY_MESSAGES,),
    identify=identify,
    read=read,
    quote=quote_lines,
)
