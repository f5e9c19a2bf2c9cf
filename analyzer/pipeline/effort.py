"""How long reading an input takes: by what it holds, not by the bytes that lie on the disk.

What is told here decides who reads what, and when, never what comes of it: an input that lies about its size costs
time only.
"""

from __future__ import annotations

from analyzer.errors import InputError
from analyzer.pipeline.one_input import Job
from analyzer.pipeline.recognise import size_of
from analyzer.sources.containers import RATIO_LIMIT, compression_of
from analyzer.sources.contract import Item
from analyzer.sources.discover import STDIN
from analyzer.sources.files import File

EACH = 0.012
"""Seconds that any input takes before its first line [measured]."""

_BYTE = 8e-9
"""Seconds for one decompressed byte of an input [measured]."""

_BYTE_OF = {"audit": 2.3e-9, "coredns": 5.0e-9, "kubelet": 8.0e-9, "pcap": 2.9e-9}
"""The same of kinds that come large [measured with kernels: packets of 200 bytes, lines of 160, events of 900]."""

_UNPACKING = 2.0e-9
"""Seconds for one byte that comes out of gzip [measured]."""

_LOOKED_AT = 1 << 20
"""Bytes from which a file is asked whether it is compressed: opening ten thousand small ones would take longer."""

_USUAL = 5
"""Times that an input expands where it does not tell: captures twice, logs ten times and more [measured]."""


def seconds_of(job: Job) -> float:
    """About how long one core of the machine that was measured reads this input."""
    size, packed = _expanded(job.item)
    return EACH + size * (_BYTE_OF.get(job.kind, _BYTE) + (_UNPACKING if packed else 0.0))


def _expanded(item: Item) -> tuple[int, bool]:
    """Bytes of the input once it is decompressed, and whether it has to be."""
    size = size_of(item)
    if item.member is not None or item.path == STDIN or size < _LOOKED_AT:
        return size, False
    try:
        file = File(item.path)
    except InputError:
        return size, False
    try:
        name = compression_of(file.read_at(0, 16))
        told = int.from_bytes(file.read_at(file.size - 4, 4), "little") if name == "gz" else 0
    except InputError:
        return size, False
    finally:
        file.close()
    if name is None:
        return size, False
    # RFC 1952, 2.3.1: the size of the last member, modulo 2^32
    return (told if size <= told <= size * RATIO_LIMIT else size * _USUAL), True
