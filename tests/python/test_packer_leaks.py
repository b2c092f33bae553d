"""Nothing that a packer takes or makes is kept: references, blocks of Python's heap and traced memory stay flat."""

from __future__ import annotations

import datetime
import gc
import pickle
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from kohakuvault import DataPacker, parse_dtype
from kohakuvault.tokens import ExtType, Simple, Tag

UTC = datetime.timezone.utc
RECORD = {
    "id": 1,
    "name": "Rin",
    "date": datetime.datetime(2020, 1, 1, 1, 1, 1, 5, tzinfo=UTC),
    "x": [1.5, "é", b"b", None, (1, 2), {"k": {}}, bytearray(b"x"), 2**63],
    ("t", 1): {5: 6},
    "wide": "x" * 3000,
}
ONLY: dict[str, Any] = {
    "msgpack": ExtType(5, b"x"),
    "cbor": [Tag(9, [1]), Simple(5), 1 << 100, -(1 << 100), -(2**64)],
}
BAD = {"msgpack": [b"\x81\x80\x01", b"\xa3ab\xff"], "cbor": [b"\xa1\xa0\x01", b"\x63ab\xff", b"\x7f\x61\xc3\xff"]}
FIXED: dict[str, list[Any]] = {
    "i64": [1, 2**62, -1],
    "f32": [1.5, 2],
    "bool": [True],
    "str:8:utf16le": ["ab"],
    "bytes:4": [b"x"],
    "str": ["é" * 600],
}
ROUNDS, TURNS, SLACK = 4, 40, 20


def failing(call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    with suppress(ValueError, TypeError, OverflowError):
        call(*args, **kwargs)
        raise AssertionError("it did not fail")


def records(kind: str) -> None:
    packer = DataPacker(kind)
    data = packer.pack([RECORD, ONLY[kind], [RECORD] * 3])
    for _ in range(3):
        packer.unpack(data)
    for size in range(0, len(data) - 1, 97):
        failing(packer.unpack, data[:size])
    both, offsets = packer.pack_many_with_offsets([RECORD, 1, "x"])
    packer.unpack_many(both, offsets=offsets)
    failing(packer.unpack_many, both, offsets=[10**6])
    failing(packer.pack, {"a": [1, {2}]})
    failing(packer.pack, {"a": "\ud800"})
    failing(packer.pack_many, [1, {2}])
    for bad in BAD[kind]:
        failing(packer.unpack, bad)


def shapes(kind: str) -> None:
    packer = DataPacker(kind)
    for i in range(60):
        record = {f"a{i % 3}": i, f"b{i % 2}": [i], "c": {"d": str(i)}}
        assert packer.unpack(packer.pack(record)) == record
    usual, other = {"a": 1, "b": [2], "c": 3}, {"a": 1, "b": [2], "z": 3}
    for value in (usual, usual, usual, other, usual, other):
        data = packer.pack(value)
        assert packer.unpack(data) == value
        failing(packer.unpack, data[:-1])


def padded(kind: str) -> None:
    packer = DataPacker(kind + ":64")
    packer.unpack_many(packer.pack_many([{"a": 1}, 2]))
    failing(packer.pack, "x" * 100)
    failing(packer.unpack, b"\xff" * 64)


def fixed(kind: str) -> None:
    for dtype, values in FIXED.items():
        packer = DataPacker(dtype)
        data, offsets = packer.pack_many_with_offsets(values)
        packer.unpack_many(data, offsets=offsets)
        packer.unpack(packer.pack(values[0]))
        failing(packer.pack, object())
        failing(packer.pack_many, [values[0], object()])
        failing(packer.unpack, b"\xff", 5)
        pickle.loads(pickle.dumps(packer))
        repr(packer)
    failing(DataPacker, "nonsense")
    parse_dtype("str:utf-8")


WORKS = [
    pytest.param(work, kind, id=f"{work.__name__}-{kind}")
    for work in (records, shapes, padded, fixed)
    for kind in ("msgpack", "cbor")
]


def counts() -> tuple[int, int]:
    gc.collect()
    return getattr(sys, "gettotalrefcount", lambda: 0)(), sys.getallocatedblocks()


@pytest.mark.parametrize(("work", "kind"), WORKS)
def test_references_and_blocks_stay_flat(work: Callable[[str], None], kind: str) -> None:
    grown = []
    for _ in range(ROUNDS):
        before = counts()
        for _ in range(TURNS):
            work(kind)
        grown.append([b - a for a, b in zip(before, counts(), strict=True)])
    references, blocks = map(min, zip(*grown, strict=True))
    assert references < SLACK
    assert blocks < SLACK


@pytest.mark.slow
@pytest.mark.parametrize(("work", "kind"), WORKS)
def test_traced_memory_stays_flat(work: Callable[[str], None], kind: str) -> None:
    for _ in range(5):
        work(kind)
    tracemalloc.start()
    work(kind)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(30):
        work(kind)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 2000


def test_a_schema_is_let_go_of_with_its_packer() -> None:
    pytest.importorskip("jsonschema_rs")
    good, bad = {"a": 1}, {"a": "x"}

    def work() -> None:
        packer = DataPacker.with_json_schema({"properties": {"a": {"type": "integer"}}})
        packer.pack_many([good] * 3)
        failing(packer.pack, bad)
        failing(packer.pack, {"b": float("nan")})
        failing(DataPacker.with_json_schema, {"type": 5})

    for _ in range(3):
        work()
    before = counts()
    for _ in range(20):
        work()
    references, blocks = (b - a for a, b in zip(before, counts(), strict=True))
    assert references < SLACK
    assert blocks < SLACK
