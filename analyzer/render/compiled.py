"""Templates are compiled once, as modules are, and kept beside them: to compile them takes longer than the page."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import cache_from_source
from os import getpid
from pathlib import Path
from pickle import UnpicklingError

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from analyzer.model.versions import version


class CompiledTemplates(BytecodeCache):
    """Keeps the code of templates where Python keeps that of modules of the same folder, under the same conditions:
    not with `-B`, not where the folder cannot be written.

    `form` tells apart what the code depends on beside the text of its template.
    """

    def __init__(self, form: str) -> None:
        self._form = f"{form} jinja2 {version('jinja2')}"

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """Where the code is kept; '' for a template without a file."""
        return cache_from_source(filename) if filename and sys.implementation.cache_tag else ""

    def get_source_checksum(self, source: str) -> str:
        return super().get_source_checksum(f"{self._form}\n{source}")

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key:
            # Cut or foreign: then it is compiled again.
            with suppress(OSError, EOFError, ValueError, UnpicklingError), Path(bucket.key).open("rb") as file:
                bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not bucket.key or sys.dont_write_bytecode:
            return
        place = Path(bucket.key)
        new = place.with_name(f"{place.name}.{getpid()}")
        with suppress(OSError):
            place.parent.mkdir(exist_ok=True)
            new.write_bytes(bucket.bytecode_to_string())
            new.replace(place)
