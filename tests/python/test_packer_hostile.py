"""What bytes and objects of bad will can do to a packer: raise, and nothing else."""

from __future__ import annotations

import datetime
import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kohakuvault import DataPacker, InvalidArgument
from kohakuvault.tokens import ExtType, Tag

MSGPACK, CBOR = DataPacker("msgpack"), DataPacker("cbor")
BOTH = pytest.mark.parametrize("packer", [MSGPACK, CBOR], ids=["msgpack", "cbor"])
ARRAY = {MSGPACK: b"\x91", CBOR: b"\x81"}
DEPTH_MAX = 128


# ---- bytes ----


@BOTH
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_value_error(packer: DataPacker, data: bytes) -> None:
    try:
        value = packer.unpack(data)
    except ValueError:
        return
    assert packer.pack(packer.unpack(packer.pack(value))) == packer.pack(value)


@BOTH
def test_flipped_bits_are_a_value_or_a_value_error(packer: DataPacker) -> None:
    record = {"id": 5, "name": "Rin", "when": datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)}
    record |= {"list": [1, 2.5, "é", b"x", None, {"deep": [True] * 20}], "large": 2**63}
    good = packer.pack(record)
    rng = random.Random(5)
    for _ in range(20_000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            packer.unpack(data)
        except ValueError:
            continue
    assert packer.unpack(good) == record


@BOTH
def test_every_truncation_is_not_enough_data(packer: DataPacker) -> None:
    record = {"id": 500, "name": "Rin" * 20, "x": [1.1, 2**40, -(2**40), b"abc", None, [[]], {"k": {}}], "花": 70_000}
    data = packer.pack(record)
    for _ in range(3):  # also when the shape is known
        assert packer.unpack(data) == record
        for size in range(len(data)):
            with pytest.raises(ValueError, match="Not enough data"):
                packer.unpack(data[:size])


@BOTH
def test_a_nest_has_a_limit_on_both_ways(packer: DataPacker) -> None:
    value: Any = 1
    for _ in range(DEPTH_MAX):
        value = [value]
    assert packer.unpack(packer.pack(value)) == value
    with pytest.raises(InvalidArgument, match=f"nest deeper than {DEPTH_MAX}"):
        packer.pack([value])
    with pytest.raises(InvalidArgument, match=f"nest deeper than {DEPTH_MAX}"):
        packer.unpack(ARRAY[packer] + packer.pack(value))
    for wrap in (lambda v: {"k": v}, lambda v: (v,), lambda v: {1: v}):
        value = None
        for _ in range(DEPTH_MAX):
            value = wrap(value)
        packer.pack(value)
        with pytest.raises(InvalidArgument, match="nest deeper"):
            packer.pack(wrap(value))


@BOTH
def test_what_holds_itself_is_too_deep(packer: DataPacker) -> None:
    loop: list[Any] = []
    loop.append(loop)
    ring: dict[str, Any] = {}
    ring["self"] = ring
    for value in (loop, ring):
        with pytest.raises(InvalidArgument, match="nest deeper"):
            packer.pack(value)


def peak_of(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


PROMISES = {
    "arrays": (MSGPACK, b"\xdd\xff\xff\xff\xff"),
    "array in array": (MSGPACK, b"\x92\xdd\x00\x00\x00\xff" + bytes(200)),
    "map": (MSGPACK, b"\xdf\xff\xff\xff\xff"),
    "text": (MSGPACK, b"\xdb\xff\xff\xff\xff"),
    "bytes": (MSGPACK, b"\xc6\xff\xff\xff\xff"),
    "extension": (MSGPACK, b"\xc9\xff\xff\xff\xff\x01"),
    "cbor array": (CBOR, b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
    "cbor array of 2**60": (CBOR, b"\x9b\x10\x00\x00\x00\x00\x00\x00\x00"),
    "cbor map": (CBOR, b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"),
    "cbor text": (CBOR, b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff"),
    "cbor bytes": (CBOR, b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"),
    "cbor bignum": (CBOR, b"\xc2\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("name", PROMISES)
def test_a_promise_that_the_bytes_do_not_keep_allocates_nothing(name: str) -> None:
    packer, data = PROMISES[name]

    def call() -> None:
        with pytest.raises(ValueError, match="Not enough data"):
            packer.unpack(data)

    call()
    assert peak_of(call) < 200_000


@pytest.mark.parametrize(
    ("packer", "byte"),
    [(MSGPACK, b"\x91"), (MSGPACK, b"\x81"), (MSGPACK, b"\xdd"), (CBOR, b"\x81"), (CBOR, b"\x9f"), (CBOR, b"\xc1")],
)
def test_a_hundred_megabytes_of_openings_end_at_once(packer: DataPacker, byte: bytes) -> None:
    data = byte * 100_000_000

    def call() -> None:
        with pytest.raises(ValueError, match=r"nest deeper|Not enough data|is a key"):
            packer.unpack(data)

    call()
    assert peak_of(call) < 1_000_000
    began = time.process_time()
    for _ in range(100):
        call()
    assert time.process_time() - began < 2  # 20 ms each would be a walk over all of it; it takes microseconds


def test_a_map_is_no_key() -> None:
    for packer, data in ((MSGPACK, b"\x81\x80\x01"), (CBOR, b"\xa1\xa0\x01"), (MSGPACK, b"\x81\x91\x80\x01")):
        with pytest.raises(ValueError, match="is a key of another"):
            packer.unpack(data)


def test_text_that_is_not_utf_8_is_a_value_error_with_its_position() -> None:
    for packer, data, at in (
        (MSGPACK, b"\x92\xa1a\xa3ab\xff", 6),
        (MSGPACK, b"\x81\xa2\xc3\x28\x01", 2),
        (CBOR, b"\x63\xed\xa0\x80", 1),
        (CBOR, b"\x7f\x61\xc3\x61\xa9\xff", 2),
    ):
        with pytest.raises(InvalidArgument, match=f"not UTF-8 at byte {at}"):
            packer.unpack(data)


def test_the_last_of_two_equal_keys_counts() -> None:
    for packer, data in ((MSGPACK, b"\x82\xa1a\x01\xa1a\x02"), (CBOR, b"\xa2\x61a\x01\x61a\x02")):
        for _ in range(4):
            assert packer.unpack(data) == {"a": 2}


# ---- objects ----


class Trap(Exception):
    pass


class Zone(datetime.tzinfo):
    """A time zone that does something when it is asked."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def utcoffset(self, date: datetime.datetime | None) -> datetime.timedelta:
        self.act()
        return datetime.timedelta(0)


def date_that(act: Callable[[], object]) -> datetime.datetime:
    return datetime.datetime(2020, 1, 1, tzinfo=Zone(act))


def trap() -> None:
    raise Trap


@BOTH
def test_an_exception_of_a_time_zone_comes_through(packer: DataPacker) -> None:
    for value in (date_that(trap), [1, date_that(trap)], {"k": date_that(trap)}):
        with pytest.raises(Trap):
            packer.pack(value)


@BOTH
def test_a_container_that_changes_while_it_is_packed_is_a_runtime_error(packer: DataPacker) -> None:
    record: dict[Any, Any] = {}

    def fresh(act: Callable[[], object]) -> None:
        record.clear()
        record.update({f"k{i}": [i] for i in range(20)})
        record["date"] = date_that(act)
        record.update({f"l{i}": [i] for i in range(20)})

    def swap(out: str, fill: int) -> None:
        del record[out]
        for i in range(fill):
            record[f"new{i}"] = 1
        for i in range(fill - 1):
            del record[f"new{i}"]

    acts: list[Callable[[], object]] = [
        record.clear,
        lambda: record.pop("k3"),
        lambda: record.pop("l3"),
        lambda: record.setdefault("more", 1),
        lambda: swap("k3", 1),
        lambda: swap("k3", 500),
        lambda: swap("date", 1),
    ]
    for act in acts:
        fresh(act)
        with pytest.raises(RuntimeError, match="a dict changed while it was packed"):
            packer.pack(record)
    values: list[Any] = []
    for change in (values.clear, values.pop, lambda: values.append(1)):
        values[:] = [1, date_that(change), 2, 3]
        with pytest.raises(RuntimeError, match="a list changed while it was packed"):
            packer.pack(values)


@BOTH
def test_values_that_are_replaced_meanwhile_are_held_as_long_as_needed(packer: DataPacker) -> None:
    record: dict[str, Any] = {}
    values: list[Any] = []

    def replace() -> None:
        record["date"] = record["after"] = None
        values[0] = values[1] = values[2] = None
        gc.collect()

    record.update({"date": [[date_that(replace)], "x" * 100], "after": "y" * 100})
    values[:] = ["z" * 100, [date_that(replace), "w" * 100], ["v"]]
    packer.pack([record, values])
    record.update({"date": [[date_that(replace)], "x" * 100], "after": "y" * 100})
    values[:] = ["z" * 100, [date_that(replace), "w" * 100], ["v"]]
    assert packer.unpack(packer.pack(record))["after"] is None
    packer.pack(values)


def test_foreign_methods_that_raise_come_through() -> None:
    class Bad:
        def __index__(self) -> int:
            raise Trap

        def __float__(self) -> float:
            raise Trap

    for dtype in ("i8", "u64", "f32", "f64"):
        packer = DataPacker(dtype)
        for call in (packer.pack, lambda v, p=packer: p.pack_many([1, v])):
            with pytest.raises(Trap):
                call(Bad())

    def broken() -> Any:
        yield 1
        raise Trap

    with pytest.raises(Trap):
        DataPacker("i64").pack_many(broken())


def test_a_subclass_is_read_past_its_own_methods() -> None:
    class Odd(int):
        def bit_length(self) -> int:
            raise Trap

        def to_bytes(self, *args: Any, **kwargs: Any) -> bytes:
            raise Trap

        def __invert__(self) -> int:
            raise Trap

        def __index__(self) -> int:
            raise Trap

    class OddDict(dict[str, int]):
        def __iter__(self) -> Any:
            raise Trap

        def items(self) -> Any:
            raise Trap

        def __len__(self) -> int:
            raise Trap

    class OddText(str):
        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            raise Trap

    for value in (5, -(1 << 100), 1 << 100, 2**64 - 1):
        assert CBOR.unpack(CBOR.pack(Odd(value))) == value
    assert MSGPACK.unpack(MSGPACK.pack(OddDict(a=1))) == {"a": 1}
    assert MSGPACK.unpack(MSGPACK.pack([OddText("a")])) == ["a"]


def test_parts_of_a_wrong_type_are_refused() -> None:
    ext, tag = ExtType(1, b"x"), Tag(1, 2)
    for target, field, value in ((ext, "code", 500), (ext, "data", "text"), (tag, "number", -1), (tag, "number", "x")):
        before = getattr(target, field)
        object.__setattr__(target, field, value)
        with pytest.raises((TypeError, OverflowError)):
            (MSGPACK if target is ext else CBOR).pack(target)
        object.__setattr__(target, field, before)


def test_a_collection_in_the_middle_of_reading_changes_nothing() -> None:
    record = {"rows": [{"id": i, "tags": [str(i), {"x": i}]} for i in range(300)], "more": {"a": {"b": [[]]}}}
    packed = [(packer, packer.pack(record)) for packer in (MSGPACK, CBOR)]

    class Meddler:
        def __del__(self) -> None:
            for packer, data in packed:
                packer.unpack(data[: len(data) // 2] if False else packer.pack({"rows": [{"id": 1, "tags": 2}]}))

    threshold = gc.get_threshold()
    gc.set_threshold(7)
    try:
        for packer, data in packed:
            loop: Any = [Meddler()]
            loop.append(loop)
            del loop
            for _ in range(5):
                assert packer.unpack(data) == record
    finally:
        gc.set_threshold(*threshold)
