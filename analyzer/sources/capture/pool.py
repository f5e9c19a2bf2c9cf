"""Decodes windows, on several processes where that pays; pieces come back in the order of the windows.

The parent walks the records, which proves where each window begins and ends and costs a tenth of decoding, and settles
what spans windows; workers decode. Bytes go to them through a file that is reused slot by slot (a container's /dev/shm
may hold 64 MiB only), rows come back in Arrow files that are mapped: through a pipe they would cost as much again.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import fields
from functools import cache, lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyzer.errors import InputError
from analyzer.sources.capture.arrays import PAD, U8
from analyzer.sources.capture.decode import Decoder, Piece
from analyzer.sources.capture.window import Window

AHEAD = 2
"""Windows beyond one per worker that may be under way, so that no worker waits for the parent."""
WINDOWS_LEAST = 6
"""A capture of fewer windows is decoded sooner than workers have started (half a second each)."""

ROWS_BESIDE = 1024
"""Frames of fewer rows travel inside the pickle."""

_COLUMNS = [one.name for one in fields(Window) if one.name != "data"]
_Packed = tuple[str, Any, int]


def pieces(frames: Iterator[Window], source: str, jobs: int) -> Iterator[Piece]:
    """The windows, decoded by so many processes; the same pieces whatever their number."""
    decoder = Decoder(source)
    if jobs > 1:
        first = list(islice(frames, WINDOWS_LEAST))
        if len(first) == WINDOWS_LEAST:
            yield from _spread(chain(first, frames), source, jobs)
            return
        frames = iter(first)
    for window in frames:
        yield decoder.decode(window)


def _spread(frames: Iterator[Window], source: str, jobs: int) -> Iterator[Piece]:
    workers = _workers(jobs)
    slots = deque(range(jobs + AHEAD))
    under_way: deque[tuple[int, Future[bytes]]] = deque()
    size = 0
    with tempfile.TemporaryDirectory(prefix="analyze-") as folder, (Path(folder) / "windows").open("w+b") as file:
        try:
            for window in frames:
                # A slot holds the largest window so far; slots only move while none is in use.
                if len(window.data) > size:
                    yield from _finish(under_way, slots)
                    size = 2 * len(window.data)
                elif not slots:
                    yield from _finish(under_way, slots, 1)
                slot = slots.popleft()
                place = Path(file.name), slot * size, len(window.data)
                _hand_out(file.fileno(), window.data, slot * size)
                columns = {name: _packed(getattr(window, name)) for name in _COLUMNS}
                under_way.append((slot, workers.submit(_decode, source, place, columns)))
            yield from _finish(under_way, slots)
        finally:
            # Whoever still writes into the folder would keep it from being removed.
            wait([future for _, future in under_way])


def _hand_out(file: int, data: U8, offset: int) -> None:
    """Write a window where a worker reads it; a full disk takes a part without a word."""
    try:
        written = os.pwrite(file, data.data, offset)
    except OSError as error:
        raise _no_room(error.strerror or str(error)) from error
    if written < len(data):
        raise _no_room("no space left")


def _no_room(reason: str) -> InputError:
    return InputError(
        f"its windows and rows cannot be kept in {tempfile.gettempdir()}: {reason}; make room there, set TMPDIR, or "
        "read it with --jobs 1"
    )


def _finish(under_way: deque[tuple[int, Future[bytes]]], slots: deque[int], most: int | None = None) -> Iterator[Piece]:
    """The pieces of the windows that have waited longest."""
    for _ in range(len(under_way) if most is None else most):
        slot, future = under_way.popleft()
        try:
            piece: Piece = pickle.loads(future.result())
        except BrokenExecutor as error:
            _workers.cache_clear()
            raise InputError(
                "a process that read it was ended from outside, perhaps for its memory; read it again with --jobs 1"
            ) from error
        except (OSError, pl.exceptions.PolarsError) as error:
            raise _no_room(str(error)) from error
        slots.append(slot)
        yield piece


@cache
def _workers(jobs: int) -> ProcessPoolExecutor:
    """Started once in a run. Spawned, because a fork of a process that has threads may hang."""
    pl.thread_pool_size()  # this process keeps the threads that it has
    os.environ["POLARS_MAX_THREADS"] = "1"  # workers are as many as there are cores already
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)


def _begin() -> None:
    """A worker leaves interrupts to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


@lru_cache(maxsize=1)
def _decoder(source: str) -> Decoder:
    """What it remembers takes some 50 MB, and captures are read one after the other."""
    return Decoder(source)


def _decode(source: str, place: tuple[Path, int, int], columns: dict[str, _Packed]) -> bytes:
    """In a worker: read the window, decode it, and pack the piece."""
    path, offset, size = place
    data = np.empty(size, np.uint8)
    with path.open("rb", buffering=0) as file:
        if os.preadv(file.fileno(), [data[: size - PAD].data], offset) < size - PAD:
            raise OSError("a window is cut short")
    data[size - PAD :] = 0
    window = Window(data, **{name: _unpacked(*packed) for name, packed in columns.items()})
    out = io.BytesIO()
    _Pickler(out, path.parent).dump(_decoder(source).decode(window))
    return out.getvalue()


def _packed(values: NDArray[np.int64]) -> _Packed:
    """Most columns are one value, or count up."""
    if len(values) and (values == values[0]).all():
        return "same", int(values[0]), len(values)
    if len(values) and int(values[-1]) - int(values[0]) == len(values) - 1 and (np.diff(values) == 1).all():
        return "count", int(values[0]), len(values)
    small = len(values) and values.min() >= 0 and values.max() < 1 << 32
    return "all", values.astype(np.uint32) if small else values, len(values)


def _unpacked(kind: str, values: Any, count: int) -> NDArray[np.int64]:
    if kind == "same":
        return np.full(count, values, np.int64)
    if kind == "count":
        return np.arange(values, values + count, dtype=np.int64)
    return np.asarray(values).astype(np.int64)


class _Pickler(pickle.Pickler):
    """Leaves frames of many rows beside the pickle. polars' own pickles take twenty times as long."""

    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file, protocol=5)
        self._folder = folder

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, pl.DataFrame):
            return NotImplemented
        if value.height < ROWS_BESIDE:
            out = io.BytesIO()
            value.write_ipc_stream(out, compression="uncompressed")
            return _frame, (out.getvalue(),)
        handle, path = tempfile.mkstemp(suffix=".arrow", dir=self._folder)
        os.close(handle)
        value.write_ipc(path, compression="uncompressed")
        return _mapped, (Path(path),)


def _frame(data: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(io.BytesIO(data))


def _mapped(path: Path) -> pl.DataFrame:
    """The frame of a file that nobody needs by its name any more: its pages live as long as the frame."""
    import pyarrow as pa  # only where there are several processes
    import pyarrow.ipc

    with pa.memory_map(str(path)) as file:
        path.unlink()
        frame = pl.from_arrow(pa.ipc.open_file(file).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame
