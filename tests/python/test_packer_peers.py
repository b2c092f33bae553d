"""Other libraries read what we write, and we read what they write."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kohakuvault import DataPacker
from kohakuvault.tokens import ExtType, Tag

msgpack = pytest.importorskip("msgpack")
ormsgpack = pytest.importorskip("ormsgpack")
msgspec = pytest.importorskip("msgspec")
cbor2 = pytest.importorskip("cbor2")

UTC = datetime.timezone.utc
MSGPACK, CBOR = DataPacker("msgpack"), DataPacker("cbor")

INTEGERS = st.integers(-(2**63), 2**64 - 1)


def records(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=40), inner), max_leaves=30
    )


PLAIN = records(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text(max_size=80) | st.binary(max_size=300)
)

WRITERS: dict[str, Callable[[Any], bytes]] = {
    "msgpack": msgpack.packb,
    "ormsgpack": ormsgpack.packb,
    "msgspec": msgspec.msgpack.encode,
}
READERS: dict[str, Callable[[bytes], Any]] = {
    "msgpack": lambda data: msgpack.unpackb(data, strict_map_key=False),
    "ormsgpack": ormsgpack.unpackb,
    "msgspec": msgspec.msgpack.decode,
}


@pytest.mark.parametrize("peer", WRITERS)
@settings(deadline=None)
@given(value=PLAIN)
def test_messagepack_is_read_across(peer: str, value: object) -> None:
    assert READERS[peer](MSGPACK.pack(value)) == value
    assert MSGPACK.unpack(WRITERS[peer](value)) == value


@settings(deadline=None)
@given(value=PLAIN)
def test_messagepack_is_byte_for_byte_what_msgpack_writes(value: object) -> None:
    assert MSGPACK.pack(value) == msgpack.packb(value)


@settings(deadline=None)
@given(value=records(PLAIN | st.integers() | st.datetimes(timezones=st.just(UTC))))
def test_cbor_is_read_across(value: object) -> None:
    assert cbor2.loads(CBOR.pack(value)) == value
    assert CBOR.unpack(cbor2.dumps(value)) == value
    assert CBOR.unpack(cbor2.dumps(value, canonical=True)) == value


@given(value=st.floats())
def test_floats_of_cbor_are_as_short_as_canonical_ones(value: float) -> None:
    if value == value:
        assert CBOR.pack(value) == cbor2.dumps(value, canonical=True)


@given(date=st.datetimes(timezones=st.just(UTC)))
def test_timestamps_of_messagepack_are_read_across(date: datetime.datetime) -> None:
    assert MSGPACK.pack(date) == msgspec.msgpack.encode(date)
    assert msgspec.msgpack.decode(MSGPACK.pack(date), type=datetime.datetime) == date
    assert msgpack.unpackb(MSGPACK.pack(date), timestamp=3) == date
    assert MSGPACK.unpack(msgpack.packb(date, datetime=True)) == date


@given(code=st.integers(-128, 127), data=st.binary(max_size=70))
def test_extensions_are_read_across(code: int, data: bytes) -> None:
    if code < 0:
        return  # MessagePack's own, which msgpack does not write
    assert MSGPACK.pack(ExtType(code, data)) == msgpack.packb(msgpack.ExtType(code, data))
    assert MSGPACK.unpack(msgpack.packb(msgpack.ExtType(code, data))) == ExtType(code, data)


@given(number=st.integers(40_000, 50_000), value=st.lists(st.integers()))
def test_tags_are_read_across(number: int, value: list[int]) -> None:
    assert CBOR.pack(Tag(number, value)) == cbor2.dumps(cbor2.CBORTag(number, value))
    assert CBOR.unpack(cbor2.dumps(cbor2.CBORTag(number, value))) == Tag(number, value)
