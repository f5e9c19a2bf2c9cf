"""Entries of Cloud Logging as `gcloud logging read` prints them: a YAML document each, keys in alphabetical order.

Audit entries (`protoPayload`) are not taken: `analyzer.sources.audit` reads these from the documents themselves.
"""

from __future__ import annotations

import re

from analyzer.sources.contract import Ledger

_BEGIN = re.compile(rb"(?:---[ \t]*\r?\n)?(?:errorGroups|httpRequest|insertId|jsonPayload|labels|logName):\s")
_PAYLOAD = re.compile(rb"(?m)^(?:jsonPayload|textPayload):")
_OTHER = re.compile(rb"(?m)^protoPayload:")
_MARK = b"\n---"
_COMMENTS = re.compile(rb"(?:[ \t\r]*(?:#[^\n]*)?\n)*+")


def is_cloud_yaml(text: bytes) -> bool:
    """Whether these first bytes are such entries."""
    text = text[_COMMENTS.match(text).end() :]  # type: ignore[union-attr]  # matches anything
    named = b"\nlogName:" in text or text.startswith(b"logName:")
    return bool(_BEGIN.match(text)) and named and bool(_PAYLOAD.search(text)) and not _OTHER.search(text)


class CloudYaml:
    """An Export. Memory is one chunk and one document, which is bounded as `audit.yamldocs` bounds it; what is no YAML
    costs its document."""

    name = "YAML of gcloud logging read"

    def __init__(self) -> None:
        self._held, self._line = b"", 1
        self._counted = Ledger()

    def feed(self, chunk: bytes) -> bytes:
        from analyzer.sources.audit.yamldocs import DOCUMENT_LIMIT  # that package reads through `exports`

        data = self._held + chunk
        cut = data.rfind(_MARK) + 1
        if not cut and len(data) <= 2 * DOCUMENT_LIMIT:
            self._held = data
            return b""
        cut = cut or len(data)
        self._held = data[cut:]
        made = self._lines(data[:cut], self._counted, ends=True)
        self._line += data.count(b"\n", 0, cut)
        return made

    def end(self, ledger: Ledger) -> bytes:
        made = self._lines(self._held, self._counted)
        for one in self._counted.report(path="", kind="", sha256="", size=0).skipped_reasons:
            ledger.skip(one.reason, one.places, one.count)
        if self._counted.incomplete_tail:
            ledger.tail()
        return made

    def guess(self) -> bytes:
        whole = self._held[: self._held.rfind(b"\n") + 1]
        return self._lines(whole, Ledger())

    def _lines(self, data: bytes, ledger: Ledger, *, ends: bool = False) -> bytes:
        """The documents as JSON lines. `ends` says that the last of them is whole."""
        from analyzer.sources.audit.yamldocs import documents
        from analyzer.sources.textwindow import Window

        found = documents([Window(self._line, data + (b"---\n" if ends else b""))], ledger, self._line)
        return b"".join(text + b"\n" for part in found for _, text in part)
