"""Where klog entries begin: their headers, found and read at fixed positions.

`Lmmdd hh:mm:ss.uuuuuu threadid file:line] msg` (klog, internal/buffer/buffer.go, FormatHeader): the first 21 bytes
stand at the same place in every entry and the thread id is padded to seven. So the first bytes of all lines are taken
into one matrix and looked at together; a regular expression sees only the lines that do not fit it, such as those with
a thread id of more than seven digits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from analyzer.sources.yearless import DAY, DUMMY, SECOND, START

HEADER = r"^[IWEF][0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} +[0-9]+ [!-\\^-~]+:[0-9]+\](?: |$)"
"""`Lmmdd hh:mm:ss.uuuuuu threadid file:line] `; digits are ASCII, the thread id has any length (klog, header.go)."""

HEAD = pl.Schema({"clock": pl.Int64(), "caller": pl.String(), "body": pl.Int64()})
"""What a header says: microseconds since 1970 of its time in the year DUMMY (null for a date that no year has), who
logged, and the characters before the entry's text; all null for an entry in the JSON format."""

_CALLER = r"^[!-\\^-~]+:[0-9]+$"
_CLOCK = 13
"""Length of `mmdd hh:mm:ss`, which stands after the severity."""

_WIDTH = 32
_CALLER_AT = 30
_BUFFERS = 64
"""Buffers that the texts of a frame may lie in; a window has one, a few more once wrappers are taken off."""

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def with_heads(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The lines that begin with a header, with the columns of HEAD; and all others."""
    first, fits = _first_bytes(lines["text"])
    regular = pl.Series(fits & _regular(first))
    heads = lines if regular.all() else lines.filter(regular)
    taken, good = _at_fixed_places(heads, first[regular.to_numpy()] if heads.height < lines.height else first)
    if good.all() and heads.height == lines.height:
        return taken, lines.clear()
    if good.all():
        rest = lines.filter(~regular)
    else:
        rest = pl.concat([lines.filter(~regular), heads.filter(~good)]).sort("number")
        taken = taken.filter(good)
    odd = rest["text"].str.contains(HEADER)
    if not odd.any():
        return taken, rest
    return pl.concat([taken, _by_search(rest.filter(odd))]).sort("number"), rest.filter(~odd)


def without_head(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines with the columns of HEAD, all null."""
    return lines.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in HEAD.items())


def _at_fixed_places(lines: pl.DataFrame, first: Bytes) -> tuple[pl.DataFrame, pl.Series]:
    """The columns of HEAD of lines whose header is regular up to the caller, and whether it is so to its end."""
    text = lines["text"]
    end = text.str.find("] ", literal=True)
    caller = pl.select(pl.when(end.is_not_null()).then(text.str.slice(_CALLER_AT, end - _CALLER_AT))).to_series()
    names = caller.unique()
    wrong = names.filter(~names.str.contains(_CALLER).fill_null(False))
    good = ~caller.is_in(wrong.implode(), nulls_equal=True) if wrong.len() else end.is_not_null()
    clock = pl.Series("clock", _clock(first))
    if (clock == _NO_TIME).any():
        clock = pl.select(pl.when(clock != _NO_TIME).then(clock)).to_series()
    columns = (clock.alias("clock"), caller.alias("caller"), (end + 2).cast(pl.Int64).alias("body"))
    return lines.with_columns(columns), good


def _by_search(lines: pl.DataFrame) -> pl.DataFrame:
    """The columns of HEAD of lines that HEADER fits."""
    raw = lines["text"]
    end = raw.str.find("] ", literal=True)
    head_only = raw.str.contains(HEADER.removesuffix("(?: |$)") + "$")
    if head_only.any():  # an entry without a text ends with its header
        end = end.scatter(head_only.arg_true(), raw.filter(head_only).str.len_bytes() - 1)
    where = raw.str.slice(21, pl.select(end - 21).to_series()).str.strip_chars_start(" ").str.splitn(" ", 2)
    day = (str(DUMMY) + raw.str.slice(1, _CLOCK)).str.to_datetime("%Y%m%d %H:%M:%S", time_unit="us", strict=False)
    micros = raw.str.slice(_CLOCK + 2, 6).cast(pl.Int64, strict=False)
    return lines.with_columns(
        (day.cast(pl.Int64) + micros).alias("clock"),
        where.struct.field("field_1").alias("caller"),
        (end + 2).cast(pl.Int64).alias("body"),
    )


def _first_bytes(texts: pl.Series) -> tuple[Bytes, Mask]:
    """The first 32 bytes of every text that has so many, and which those are.

    The texts are looked at where they lie (Arrow views: length, prefix, buffer, offset); none is copied.
    """
    import pyarrow as pa  # captures do without; it takes a sixth of the start-up

    first = np.zeros((texts.len(), _WIDTH), np.uint8)
    fits = np.zeros(texts.len(), np.bool_)
    at = 0
    for chunk in pa.chunked_array(texts).chunks:
        buffers = chunk.buffers()
        views = np.frombuffer(buffers[1], np.uint32)[4 * chunk.offset : 4 * (chunk.offset + len(chunk))].reshape(-1, 4)
        for index, buffer in enumerate(buffers[2 : 2 + _BUFFERS]):
            rows = (views[:, 0] >= _WIDTH) & (views[:, 2] == index)
            if not buffer or len(buffer) < _WIDTH or not rows.any():
                continue
            places = np.ndarray((len(buffer) - _WIDTH + 1,), dtype=f"V{_WIDTH}", buffer=buffer, strides=(1,))
            taken = slice(at, at + len(chunk)) if rows.all() else at + np.flatnonzero(rows)
            where = views[:, 3] if rows.all() else views[rows, 3]
            first[taken] = places[where].view(np.uint8).reshape(-1, _WIDTH)
            fits[taken] = True
        at += len(chunk)
    return first, fits


def _word(signs: bytes) -> np.uint64:
    """Eight bytes as a number, as they lie in memory."""
    return np.uint64(int.from_bytes(signs, "little"))


_TIME = tuple(
    (_word(mask), _word(signs))
    for mask, signs in (
        (b"\0\xff\xff\xff\xff\0\xff\xff", b"\0\0\0\0\0 \0\0"),
        (b"\0\xff\xff\0\xff\xff\0\xff", b":\0\0:\0\0.\0"),
        (b"\xff\xff\xff\xff\xff\0\0\0", b"\0\0\0\0\0 \0\0"),
    )
)
"""The first three words of a header: where digits stand, and what stands between them."""

_HIGH, _SIX, _THREE = (_word(bytes([byte]) * 8) for byte in (0xF0, 0x06, 0x33))
_HALF = np.uint64(4)
_SEVERITY = _word(b"\xff" + bytes(7))


def _digits(words: Words, where: np.uint64) -> Mask:
    """Whether the bytes under the mask are digits: their upper half is 3, and stays so when 6 is added."""
    words = words & where
    halves = (words & _HIGH) | (((words + (_SIX & where)) & _HIGH) >> _HALF)
    found: Mask = halves == (_THREE & where)
    return found


def _regular(first: Bytes) -> Mask:
    """Whether these bytes are a severity, a time, a thread id of up to seven digits, and the start of a caller."""
    words = first.view("<u8")
    fits = np.isin(first[:, 0], np.frombuffer(b"IWEF", np.uint8))
    for at, (digits, signs) in enumerate(_TIME):
        word = words[:, at]
        between = ~digits if at else ~digits & ~_SEVERITY
        between = between if at < 2 else between & _word(b"\0\0\0\0\0\xff\0\0")
        fits &= _digits(word, digits) & ((word & between) == signs)
    thread = (words[:, 2] >> np.uint64(48)) | (words[:, 3] << np.uint64(16))
    known = pl.Series(thread).unique().to_numpy()  # one process writes one number
    wrong = known[~_thread_ids(known)]
    if len(wrong):
        fits &= ~np.isin(thread, wrong)
    return fits & (first[:, _CALLER_AT] > ord(" "))


def _thread_ids(words: Words) -> Mask:
    """Whether these eight bytes are a number padded with spaces to seven places, and a space."""
    signs = np.ascontiguousarray(words).astype("<u8").view(np.uint8).reshape(-1, 8)
    digit = (signs[:, :7] - ord("0")) < 10
    padding = signs[:, :7] == ord(" ")
    ordered = (digit[:, 1:] | padding[:, :-1]).all(axis=1)
    fits: Mask = (digit | padding).all(axis=1) & ordered & digit[:, 6] & (signs[:, 7] == ord(" "))
    return fits


_NO_TIME = -1
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY_OF = np.full((100, 100), _NO_TIME, np.int64)
"""Days since 1970 of each month and day in the year DUMMY."""
for _month, _days in enumerate(_DAYS):
    _DAY_OF[_month + 1, 1 : _days + 1] = START // DAY + sum(_DAYS[:_month]) + np.arange(_days)


def _clock(first: Bytes) -> Numbers:
    """The times of regular headers, _NO_TIME for those that no clock shows."""
    digits = first - np.uint8(ord("0"))

    def two(at: int) -> npt.NDArray[np.uint8]:
        pair: npt.NDArray[np.uint8] = digits[:, at] * np.uint8(10) + digits[:, at + 1]
        return pair

    day = _DAY_OF[two(1), two(3)]
    hour, minute, second = two(6), two(9), two(12)
    exists = (day >= 0) & (hour < 24) & (minute < 60) & (second < 60)
    seconds = (hour.astype(np.int32) * 60 + minute) * 60 + second
    micros = (two(15).astype(np.int32) * 100 + two(17)) * 100 + two(19)
    moments = day * DAY + seconds * np.int64(SECOND) + micros
    return np.where(exists, moments, _NO_TIME)
