"""A table as JSON Lines: an object a line, `key` and `value` as text, or `key_hex` and `value_base64`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from ..errors import InvalidArgument
from ..kv import KVault
from .failure import Failure
from .keytext import to_text
from .output import json_line
from .progress import Bar

LINE_BYTES_MAX = 256 << 20
VALUE_BYTES_MAX = 32 << 20  # as text it grows sixfold at most
BATCH_PAIRS, BATCH_BYTES = 1000, 8 << 20


class LineReader(Protocol):
    def readline(self, size: int = -1, /) -> bytes: ...


def key_record(key: bytes) -> dict[str, str]:
    """Return a key for JSON: text where it is UTF-8, else hexadecimal."""
    try:
        return {"key": key.decode()}
    except UnicodeDecodeError:
        return {"key_hex": key.hex()}


def _value_record(value: bytes) -> dict[str, str]:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


class Line(NamedTuple):
    """A line of JSON: where it is, for words about it, what it holds, and its size."""

    where: str
    value: Any
    size: int


def read_lines(reader: LineReader, name: str) -> Iterator[Line]:
    """Yield every line that is not empty."""
    number = 0
    while line := reader.readline(LINE_BYTES_MAX + 1):
        number += 1
        where = f"{name}, line {number}"
        if len(line) > LINE_BYTES_MAX:
            raise Failure(f"{where}: longer than {LINE_BYTES_MAX:,} bytes")
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as exc:
            words = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
            raise Failure(f"{where}: no JSON: {words}") from None
        yield Line(where, value, len(line))


# ---- in ----


def _bytes_of(record: dict[str, Any], name: str, coded: str) -> bytes:
    """Take the text `name` of a record, or the bytes under the name `coded`."""
    if (name in record) == (coded in record):
        raise ValueError(f'want one of "{name}" and "{coded}"')
    value = record.get(name, record.get(coded))
    if not isinstance(value, str):
        raise ValueError(f'"{name if name in record else coded}" is no text')
    if name in record:
        return value.encode()
    if coded.endswith("_hex"):
        return bytes.fromhex(value)
    return base64.b64decode(value, validate=True)


def _pair_of(where: str, record: Any) -> tuple[bytes, bytes]:
    try:
        if not isinstance(record, dict):
            raise ValueError("no object")
        unknown = set(record) - {"key", "key_hex", "value", "value_base64"}
        if unknown:
            raise ValueError(f'unknown field "{min(unknown)}"')
        return _bytes_of(record, "key", "key_hex"), _bytes_of(record, "value", "value_base64")
    except (ValueError, binascii.Error) as exc:
        raise Failure(f"{where}: {exc}") from None


def import_lines(kv: KVault, reader: LineReader, name: str, prefix: bytes) -> dict[str, int]:
    """Store every pair in one transaction; return how many, and the bytes of their values."""
    pairs = stored = 0
    batch: list[tuple[bytes, bytes]] = []
    held = 0
    with kv.transaction():
        for line in read_lines(reader, name):
            key, value = _pair_of(line.where, line.value)
            batch.append((prefix + key, value))
            pairs, stored, held = pairs + 1, stored + len(value), held + len(value)
            if len(batch) == BATCH_PAIRS or held >= BATCH_BYTES:
                kv.put_many(batch)
                batch, held = [], 0
        kv.put_many(batch)
    return {"values": pairs, "bytes": stored}


# ---- out ----


def _check_sizes(kv: KVault, prefix: bytes) -> int:
    total = 0
    for key in kv.keys(prefix=prefix):
        size = kv.size(key)
        if size > VALUE_BYTES_MAX:
            raise InvalidArgument(
                f'the value of "{to_text(key)}" is {size:,} bytes, a line of JSON takes {VALUE_BYTES_MAX:,}; '
                "export to a folder"
            )
        total += size
    return total


def export_lines(kv: KVault, out: Any, prefix: bytes, *, shown: bool) -> dict[str, int]:
    """Write every pair as a line; return how many, and the bytes of their values. A prefix is left out of the keys."""
    pairs = written = 0
    with Bar("exporting", _check_sizes(kv, prefix), "bytes", shown=shown) as bar:
        for key, value in kv.items(prefix=prefix):
            record = {**key_record(key[len(prefix) :]), **_value_record(value)}
            out.write(json_line(record).encode() + b"\n")
            bar.advance(len(value))
            pairs, written = pairs + 1, written + len(value)
    return {"values": pairs, "bytes": written}
