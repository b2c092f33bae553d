"""Records: what MessagePack and CBOR make of Python's values, and what comes back."""

from __future__ import annotations

import base64
import collections
import datetime
import enum
import json
import math
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kohakuvault import DataPacker, WrongType
from kohakuvault.tokens import ExtType, Simple, Tag

UTC = datetime.timezone.utc
TESTDATA = Path(os.environ.get("KVAULT_TESTDATA", Path(__file__).parents[3] / "shared" / "testdata"))
MSGPACK, CBOR = DataPacker("msgpack"), DataPacker("cbor")
BOTH = pytest.mark.parametrize("packer", [MSGPACK, CBOR], ids=["msgpack", "cbor"])


def vectors(name: str) -> Any:
    path = TESTDATA / name
    if not path.exists():
        pytest.skip(f"the published vectors are not there: {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def same(a: object, b: object) -> bool:
    """Equal, of one type, NaN equal to itself, -0.0 unlike 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))  # type: ignore[arg-type]
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))  # type: ignore[arg-type]
    if isinstance(a, dict):
        return len(a) == len(b) and all(  # type: ignore[arg-type]
            same(x, y) and same(a[x], b[y])  # type: ignore[index]
            for x, y in zip(a, b, strict=True)  # type: ignore[call-overload]
        )
    return a == b


# ---- values ----

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    127,
    128,
    -32,
    -33,
    255,
    256,
    65535,
    65536,
    2**31,
    2**32 - 1,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    0.0,
    -0.0,
    1.5,
    1.1,
    1e300,
    5e-324,
    math.inf,
    -math.inf,
    math.nan,
    "",
    "a",
    "x" * 31,
    "x" * 32,
    "x" * 255,
    "x" * 256,
    "x" * 70_000,
    "Zürich 花 🍺",
    "é" * 40,
    b"",
    b"\0\xff",
    b"x" * 256,
    b"x" * 70_000,
    [],
    [1, [2, [3]]],
    list(range(15)),
    list(range(16)),
    list(range(70_000)),
    {},
    {"a": 1, "b": [True, None]},
    {f"k{i}": i for i in range(16)},
    {f"key number {i}": i for i in range(70_000)},
    {1: "int", -5: "negative", 2.5: "float", None: "none", False: "bool", b"b": "bytes"},
    {(1, "a"): "tuple", ((),): "empty", (1, (2, (3,))): "nested"},
    {"花": 1, "é": 2, "k" * 100: 3, "": 4},
]


@BOTH
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_come_back_as_they_were(packer: DataPacker, value: object) -> None:
    data = packer.pack(value)
    for _ in range(3):  # the second and third time from what the packer remembers
        assert same(packer.unpack(data), value)
    assert same(packer.unpack(b"\xff" + data + b"\xff", 1), value)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.booleans(), inner)
    ),
    max_leaves=40,
)


@BOTH
@given(value=json_like)
def test_any_value_comes_back_as_it_was(packer: DataPacker, value: object) -> None:
    assert same(packer.unpack(packer.pack(value)), value)


@BOTH
@given(records=st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 300), max_size=8), max_size=60))
def test_records_of_mixed_shapes_come_back_as_they_were(packer: DataPacker, records: list[dict[str, int]]) -> None:
    """Shapes are guessed from the first key and the count: wrong guesses must not be seen."""
    data, offsets = packer.pack_many_with_offsets(records)
    back = packer.unpack_many(data, offsets=offsets)
    assert [list(record.items()) for record in back] == [list(record.items()) for record in records]


@BOTH
def test_a_shape_that_is_left_late_changes_nothing(packer: DataPacker) -> None:
    keys = [f"field{i}" for i in range(20)]
    usual = dict.fromkeys(keys, 1)
    for _ in range(5):
        assert packer.unpack(packer.pack(usual)) == usual
    for at in range(20):
        other = {(key if i != at else "other"): [i] for i, key in enumerate(keys)}
        data = packer.pack(other)
        assert list(packer.unpack(data).items()) == list(other.items())
        twice = {(key if i != at else keys[0]): i for i, key in enumerate(keys)}
        items = b"".join(packer.pack(keys[0] if i == at else key) + packer.pack(i) for i, key in enumerate(keys))
        head = packer.pack(usual)[: len(packer.pack(usual)) - len(b"".join(packer.pack(k) + b"\1" for k in keys))]
        assert packer.unpack(head + items) == twice
        assert packer.unpack(packer.pack(usual)) == usual


def test_nested_records_of_one_shape_do_not_disturb_each_other() -> None:
    tree: Any = {"id": 0, "children": []}
    for level in range(1, 40):
        tree = {"id": level, "children": [tree, {"id": -level, "children": None}]}
    data = MSGPACK.pack(tree)
    for _ in range(4):
        assert MSGPACK.unpack(data) == tree


class Color(enum.IntEnum):
    RED = 1


class Name(str):
    pass


class Point(collections.namedtuple("Point", "x y")):
    pass


@BOTH
def test_subclasses_are_packed_as_what_they_extend(packer: DataPacker) -> None:
    pairs: list[tuple[Any, Any]] = [
        (Color.RED, 1),
        (Name("n"), "n"),
        (Name("花"), "花"),
        (type("F", (float,), {})(1.5), 1.5),
        (type("B", (bytes,), {})(b"b"), b"b"),
        (type("L", (list,), {})([1]), [1]),
        (Point(1, 2), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        ((1, 2), [1, 2]),
        (bytearray(b"x"), b"x"),
        (memoryview(b"xyz")[1:], b"yz"),
    ]
    for value, plain in pairs:
        assert packer.pack(value) == packer.pack(plain)
        assert same(packer.unpack(packer.pack([value])), [plain])
        assert packer.unpack(packer.pack({"k": value})) == {"k": plain}
    assert packer.unpack(packer.pack({Color.RED: Name("n")})) == {1: "n"}


@BOTH
@pytest.mark.parametrize("value", [{1}, object(), 1j, range(3), datetime.date(2020, 1, 1), int, frozenset()])
def test_another_type_is_a_type_error(packer: DataPacker, value: object) -> None:
    for bad in (value, [value], {"a": value}):
        with pytest.raises(WrongType, match=f"{type(value).__name__} cannot be packed"):
            packer.pack(bad)


@BOTH
def test_a_key_that_would_not_come_back_as_one_is_a_type_error(packer: DataPacker) -> None:
    class Hashable(dict[str, int]):
        def __hash__(self) -> int:  # type: ignore[override]
            return 1

    for key in (Hashable(a=1), (1, Hashable()), Tag(9, Hashable())):
        with pytest.raises(TypeError):
            packer.pack({key: 1})


# ---- dates ----

ZONES = [
    UTC,
    datetime.timezone(datetime.timedelta(hours=9)),
    datetime.timezone(-datetime.timedelta(hours=3, minutes=30, seconds=7, microseconds=5)),
]
DATES = [
    datetime.datetime(1970, 1, 1),
    datetime.datetime(2026, 11, 25, 22, 30, 59, 123456),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999999),
    datetime.datetime(2000, 2, 29, 12),
    datetime.datetime(1900, 3, 1),
    datetime.datetime(2106, 2, 7, 6, 28, 16),
    datetime.datetime(2514, 5, 30, 1, 53, 4),
    datetime.datetime(1, 1, 2),
    datetime.datetime(9999, 12, 30, 23, 59, 59, 999999),
]


@BOTH
@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("date", DATES, ids=str)
def test_an_aware_datetime_comes_back_as_the_same_instant(
    packer: DataPacker, date: datetime.datetime, zone: datetime.tzinfo
) -> None:
    aware = date.replace(tzinfo=zone)
    back = packer.unpack(packer.pack(aware))
    assert back == aware
    assert back.tzinfo is UTC
    assert packer.unpack(packer.pack({aware: [aware]})) == {aware: [aware]}


@BOTH
@given(date=st.datetimes(timezones=st.timezones()))
def test_a_datetime_of_any_zone_comes_back_as_the_same_instant(packer: DataPacker, date: datetime.datetime) -> None:
    assert packer.unpack(packer.pack(date)) == date.astimezone(UTC)


@BOTH
def test_a_datetime_that_names_no_instant_of_utc_is_refused(packer: DataPacker) -> None:
    with pytest.raises(TypeError, match="without a time zone"):
        packer.pack(datetime.datetime(2020, 1, 1))
    east = datetime.timezone(datetime.timedelta(hours=1))
    west = datetime.timezone(-datetime.timedelta(hours=1))
    for date in (datetime.datetime(1, 1, 1, tzinfo=east), datetime.datetime(9999, 12, 31, 23, 30, tzinfo=west)):
        with pytest.raises(OverflowError, match="years 1 to 9999"):
            packer.pack(date)


def test_what_a_datetime_cannot_hold_stays_what_it_was() -> None:
    nanosecond = bytes.fromhex("d7ff0000000400000000")
    assert MSGPACK.unpack(nanosecond) == ExtType(-1, bytes.fromhex("0000000400000000"))
    far = bytes.fromhex("c70cff000000007fffffffffffffff")
    assert MSGPACK.unpack(far) == ExtType(-1, bytes.fromhex("000000007fffffffffffffff"))
    fine = b"\xc0\x78\x1e2013-03-21T20:04:00.123456789Z"
    assert CBOR.unpack(fine) == Tag(0, "2013-03-21T20:04:00.123456789Z")
    assert CBOR.unpack(b"\xd8\x00" + fine[1:]) == Tag(0, "2013-03-21T20:04:00.123456789Z")
    for data, packer in ((nanosecond, MSGPACK), (far, MSGPACK), (fine, CBOR)):
        assert packer.pack(packer.unpack(data)) == data


def test_a_float_of_seconds_is_the_nearest_microsecond() -> None:
    for seconds in (1363896240.5, 1700000000.123456, -0.75, 0.9999999):
        date = CBOR.unpack(b"\xc1\xfb" + struct.pack(">d", seconds))
        assert abs(date.timestamp() - seconds) <= 1e-6
        assert date == CBOR.unpack(b"\xd8\x01\xfb" + struct.pack(">d", seconds))


# ---- what Python has no type for ----


def test_extensions_tags_and_simple_values_are_kept() -> None:
    for value in (ExtType(5, b"abc"), ExtType(-128, b""), ExtType(127, b"x" * 300), [ExtType(0, bytes(16))]):
        assert MSGPACK.unpack(MSGPACK.pack(value)) == value
    for tagged in (Tag(32, "https://example.org"), Tag(2**64 - 1, [Tag(7, {"a": 1})]), Simple(0), Simple(255)):
        assert CBOR.unpack(CBOR.pack(tagged)) == tagged
    assert CBOR.unpack(b"\xf7") == Simple(23)
    key = {ExtType(1, b"k"): 1}
    assert MSGPACK.unpack(MSGPACK.pack(key)) == key
    tag_key = {Tag(9, (1, 2)): 1}
    assert CBOR.unpack(CBOR.pack(tag_key)) == tag_key


def test_they_are_values() -> None:
    for value, field in ((ExtType(5, b"abc"), "code"), (Tag(32, "x"), "number"), (Simple(23), "number")):
        assert pickle.loads(pickle.dumps(value)) == value
        assert hash(value) == hash(pickle.loads(pickle.dumps(value)))
        assert type(value).__name__ in repr(value)
        with pytest.raises(AttributeError):
            setattr(value, field, 1)


def test_they_refuse_what_the_format_does_not_have() -> None:
    bad: Any
    for make, bad in ((ExtType, (128, b"")), (ExtType, (-129, b"")), (Tag, (-1, 0)), (Tag, (2**64, 0))):
        with pytest.raises(OverflowError):
            make(*bad)
    for number in (20, 21, 22, 24, 31, 256, -1):
        with pytest.raises(OverflowError):
            Simple(number)
    for make, bad in ((ExtType, (1, "x")), (ExtType, ("1", b"")), (Tag, ("1", 0)), (Simple, ("1",))):
        with pytest.raises(TypeError):
            make(*bad)
    with pytest.raises(TypeError, match="MessagePack has no tags"):
        MSGPACK.pack(Tag(1, 2))
    with pytest.raises(TypeError, match="MessagePack has no simple values"):
        MSGPACK.pack(Simple(1))
    with pytest.raises(TypeError, match=r"CBOR.*ext|ext.*CBOR"):
        CBOR.pack(ExtType(1, b""))


# ---- integers ----


@given(st.integers())
def test_cbor_has_integers_of_any_size(value: int) -> None:
    assert CBOR.unpack(CBOR.pack(value)) == value


@pytest.mark.parametrize("value", [2**64, -(2**64), -(2**64) - 1, -(2**63) - 1, 2**64 - 1, 1 << 8000, -(1 << 8000)])
def test_large_integers_of_cbor(value: int) -> None:
    assert CBOR.unpack(CBOR.pack([value, {value: value}])) == [value, {value: value}]
    if not -(2**63) <= value < 2**64:
        with pytest.raises(OverflowError, match="outside MessagePack's range"):
            MSGPACK.pack(value)
        with pytest.raises(OverflowError):
            MSGPACK.pack({value: 1})


# ---- published vectors ----


def test_the_vectors_of_messagepack() -> None:
    count = 0
    for cases in vectors("msgpack/msgpack-test-suite.json").values():
        for case in cases:
            encodings = [bytes.fromhex(text.replace("-", "")) for text in case.pop("msgpack")]
            value = value_of_case(case)
            for data in encodings:
                assert MSGPACK.unpack(data) == value, data.hex()
                count += 1
            assert MSGPACK.pack(value) in encodings
            for data in encodings:
                truncations_fail(MSGPACK, data)
    assert count > 200


def value_of_case(case: dict[str, Any]) -> Any:
    if "bignum" in case:
        return int(case["bignum"])
    ((kind, value),) = case.items()
    if kind == "binary":
        return bytes.fromhex(value.replace("-", ""))
    if kind == "ext":
        return ExtType(value[0], bytes.fromhex(value[1].replace("-", "")))
    if kind == "timestamp":
        seconds, nanoseconds = value
        if nanoseconds % 1000 == 0 and -62135596800 <= seconds < 253402300800:
            return datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(
                seconds=seconds, microseconds=nanoseconds // 1000
            )
        if 0 <= seconds < 2**34 and nanoseconds:
            return ExtType(-1, struct.pack(">Q", nanoseconds << 34 | seconds))
        return ExtType(-1, struct.pack(">Iq", nanoseconds, seconds))
    return value


def truncations_fail(packer: DataPacker, data: bytes) -> None:
    for size in range(len(data)):
        with pytest.raises(ValueError, match="Not enough data"):
            packer.unpack(data[:size])


def test_the_vectors_of_cbor() -> None:
    count = 0
    for case in vectors("cbor/appendix_a.json"):
        data = base64.b64decode(case["cbor"])
        if case.get("diagnostic") == "simple(24)":  # RFC 7049 had it, RFC 8949 (3.3) forbids it
            with pytest.raises(ValueError, match="simple value below 32"):
                CBOR.unpack(data)
            continue
        value = CBOR.unpack(data)
        truncations_fail(CBOR, data)
        if "decoded" in case:
            assert value == case["decoded"], case
        elif case["diagnostic"] in ("Infinity", "-Infinity", "NaN"):
            assert same(value, float(case["diagnostic"]))
        else:
            assert value == DIAGNOSTICS[case["diagnostic"]], case
        if case["roundtrip"] and not isinstance(value, datetime.datetime):
            assert CBOR.pack(value) == data, case
        assert same(CBOR.unpack(CBOR.pack(value)), value)
        count += 1
    assert count > 70


DIAGNOSTICS = {
    "undefined": Simple(23),
    "simple(16)": Simple(16),
    "simple(255)": Simple(255),
    '0("2013-03-21T20:04:00Z")': datetime.datetime(2013, 3, 21, 20, 4, tzinfo=UTC),
    "1(1363896240)": datetime.datetime(2013, 3, 21, 20, 4, tzinfo=UTC),
    "1(1363896240.5)": datetime.datetime(2013, 3, 21, 20, 4, 0, 500000, tzinfo=UTC),
    "23(h'01020304')": Tag(23, b"\1\2\3\4"),
    "24(h'6449455446')": Tag(24, b"dIETF"),
    '32("http://www.example.com")': Tag(32, "http://www.example.com"),
    "h''": b"",
    "h'01020304'": b"\1\2\3\4",
    "{1: 2, 3: 4}": {1: 2, 3: 4},
    "(_ h'0102', h'030405')": b"\1\2\3\4\5",
}
