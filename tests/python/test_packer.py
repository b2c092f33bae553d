"""DataPacker: one test per promise about dtypes, batches and the class itself."""

from __future__ import annotations

import array
import copy
import decimal
import math
import pickle
import threading
from collections.abc import Callable
from typing import Any

import kohakuvault
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kohakuvault import DataPacker, InvalidArgument, WrongType, parse_dtype

INTEGERS = {
    f"{sign}{bits}": (-(2 ** (bits - 1)) if sign == "i" else 0, 2 ** (bits - (sign == "i")) - 1)
    for sign in "iu"
    for bits in (8, 16, 32, 64)
}


# ---- dtypes ----


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("i8", ("i8", 1, False)),
        ("u64", ("u64", 8, False)),
        ("f32", ("f32", 4, False)),
        ("bool", ("bool", 1, False)),
        ("bytes:32", ("bytes:32", 32, False)),
        ("bytes", ("bytes", 0, True)),
        ("str", ("str", 0, True)),
        ("str:UTF-8", ("str", 0, True)),
        ("str:16", ("str:16", 16, False)),
        ("str:16:utf-16le", ("str:16:utf16le", 16, False)),
        ("str:iso-8859-1", ("str:latin1", 0, True)),
        ("msgpack", ("msgpack", 0, True)),
        ("msgpack:64", ("msgpack:64", 64, False)),
        ("cbor", ("cbor", 0, True)),
        ("cbor:64", ("cbor:64", 64, False)),
    ],
)
def test_a_dtype_is_parsed_into_its_shortest_form(text: str, parsed: tuple[str, int, bool]) -> None:
    assert parse_dtype(text) == parsed
    packer = DataPacker(text)
    assert (packer.dtype, packer.elem_size, packer.is_varsize) == parsed


@pytest.mark.parametrize("text", ["", "i63", "I64", "str:0", "str:3:utf16le", "bytes:-1", "str:8:klingon", "i64:8"])
def test_another_text_is_an_unknown_dtype(text: str) -> None:
    for make in (parse_dtype, DataPacker):
        with pytest.raises(InvalidArgument, match="Unknown dtype"):
            make(text)


def test_a_dtype_is_text() -> None:
    bad: Any = 5
    for make in (parse_dtype, DataPacker):
        with pytest.raises(WrongType, match="a dtype is str, not int"):
            make(bad)
    with pytest.raises(TypeError):
        DataPacker()  # type: ignore[call-arg]


# ---- numbers ----


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_come_back_to_both_ends_of_their_range(dtype: str) -> None:
    packer = DataPacker(dtype)
    low, high = INTEGERS[dtype]
    for value in (low, low + 1, 0, 1, high // 2, high - 1, high, *([-1] if low else [])):
        data = packer.pack(value)
        assert data == value.to_bytes(packer.elem_size, "little", signed=low < 0)
        assert packer.unpack(data) == value
        assert packer.unpack_many(packer.pack_many([value, value])) == [value, value]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(
    "beyond", [1, 2**40, 2**64, 2**80, 1 << 20_000], ids=lambda beyond: f"{beyond.bit_length()} bits"
)
def test_an_integer_out_of_range_is_an_overflow_error(dtype: str, beyond: int) -> None:
    packer = DataPacker(dtype)
    low, high = INTEGERS[dtype]
    for value in (low - beyond, high + beyond):
        with pytest.raises(OverflowError, match=f"out of range for {dtype}"):
            packer.pack(value)
        with pytest.raises(OverflowError, match=f"out of range for {dtype}"):
            packer.pack_many([0, value, 0])


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def test_an_integer_is_whatever_has_an_index() -> None:
    packer = DataPacker("i16")
    assert packer.pack(Index(-2)) == packer.pack(-2)
    assert packer.pack(True) == packer.pack(1)
    assert packer.pack_many([1, Index(2), True, 4]) == packer.pack_many([1, 2, 1, 4])


@pytest.mark.parametrize("value", [1.0, "1", None, b"1", [1], 1j])
def test_another_type_is_no_integer(value: object) -> None:
    packer = DataPacker("i64")
    for call in (packer.pack, lambda v: packer.pack_many([1, v])):
        with pytest.raises(TypeError, match=f"an element of i64 is an integer, not {type(value).__name__}"):
            call(value)


@given(st.floats())
def test_a_double_comes_back_as_it_was(value: float) -> None:
    packer = DataPacker("f64")
    back = packer.unpack(packer.pack(value))
    assert back == value or (math.isnan(back) and math.isnan(value))
    assert packer.pack_many([value]) == packer.pack(value)


@given(st.floats(width=32))
def test_a_single_comes_back_as_it_was(value: float) -> None:
    packer = DataPacker("f32")
    back = packer.unpack(packer.pack(value))
    assert back == value or (math.isnan(back) and math.isnan(value))
    assert packer.pack_many([value]) == packer.pack(value)


def test_floats_take_any_number_and_refuse_what_they_cannot_hold() -> None:
    double, single = DataPacker("f64"), DataPacker("f32")
    assert double.pack(3) == double.pack(3.0)
    assert double.pack(2**53 + 1) == double.pack_many([2**53 + 1]) == double.pack(float(2**53))
    assert double.pack(decimal.Decimal("0.5")) == double.pack(0.5)
    for call in (single.pack, lambda v: single.pack_many([0.0, v])):
        with pytest.raises(OverflowError, match="out of range for f32"):
            call(1e39)
    with pytest.raises(OverflowError):
        double.pack(10**400)
    with pytest.raises(TypeError, match="an element of f64 is a number, not str"):
        double.pack("1")
    assert single.unpack(single.pack(math.inf)) == math.inf


def test_a_bool_is_one_byte_and_nothing_else_is_a_bool() -> None:
    packer = DataPacker("bool")
    assert packer.pack_many([True, False]) == b"\1\0"
    assert packer.unpack(b"\1") is True
    for value in (1, 0, None, "x"):
        with pytest.raises(WrongType, match="True or False"):
            packer.pack(value)
    for call in (packer.unpack, packer.unpack_many):
        with pytest.raises(ValueError, match="0x02 is not a bool"):
            call(b"\2")


# ---- bytes and text ----


def test_bytes_of_a_size_are_padded_and_come_back_padded() -> None:
    packer = DataPacker("bytes:32")
    token = packer.pack(b"session")
    assert len(token) == 32
    assert packer.unpack(token, 0).rstrip(b"\x00") == b"session"
    assert packer.unpack(packer.pack(b"")) == bytes(32)
    with pytest.raises(InvalidArgument, match="Data too long: 33 bytes, limit 32"):
        packer.pack(bytes(33))


@pytest.mark.parametrize("value", [b"ab", bytearray(b"ab"), memoryview(b"ab"), array.array("B", b"ab")])
@pytest.mark.parametrize("dtype", ["bytes", "bytes:2"])
def test_any_buffer_is_bytes(dtype: str, value: bytes) -> None:
    packer = DataPacker(dtype)
    assert packer.pack(value) == b"ab"
    assert type(packer.unpack(value)) is bytes
    for bad in ("ab", 5, None):
        with pytest.raises(TypeError, match="bytes-like"):
            packer.pack(bad)


ENCODINGS = {"utf8": "utf-8", "utf16le": "utf-16-le", "utf16be": "utf-16-be", "latin1": "latin-1", "ascii": "ascii"}
TEXTS = ["", "a", "plain", "x" * 3000, "Zürich", "花見 and 🍺", "\0a\0b", "é" * 700, "\ufeffbom"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_in_every_encoding_that_has_it(encoding: str, text: str) -> None:
    packer = DataPacker(f"str:{encoding}")
    try:
        wanted = text.encode(ENCODINGS[encoding])
    except UnicodeEncodeError:
        words = "non-ASCII" if encoding == "ascii" else "outside Latin1 range"
        with pytest.raises(InvalidArgument, match=words):
            packer.pack(text)
        return
    assert packer.pack(text) == wanted
    assert packer.unpack(wanted) == text
    fixed = DataPacker(f"str:{len(wanted) + 2}:{encoding}")
    assert fixed.pack(text) == wanted + bytes(2)
    assert fixed.unpack(fixed.pack(text)) == text


@given(st.text())
def test_any_text_is_utf_8_as_python_writes_it(text: str) -> None:
    packer = DataPacker("str")
    assert packer.pack(text) == text.encode()
    assert packer.unpack(text.encode()) == text


def test_text_that_does_not_fit_is_never_cut() -> None:
    packer = DataPacker("str:4")
    assert packer.unpack(packer.pack("éé")) == "éé"
    with pytest.raises(InvalidArgument, match="Data too long"):
        packer.pack("ééx")
    with pytest.raises(InvalidArgument, match="Data too long"):
        DataPacker("str:3").pack("éé")


def test_a_text_that_its_padding_would_shorten_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="ends with NUL"):
        DataPacker("str:8").pack("a\0")
    assert DataPacker("str").unpack(DataPacker("str").pack("a\0")) == "a\0"


@pytest.mark.parametrize("dtype", ["str", "str:64", "str:utf16le", "str:latin1", "str:ascii", "msgpack", "cbor"])
def test_a_lone_surrogate_is_a_value_error(dtype: str) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        DataPacker(dtype).pack("ab\ud800")


@pytest.mark.parametrize("value", [b"ab", 5, None, ["a"]])
def test_only_str_is_text(value: object) -> None:
    with pytest.raises(WrongType, match=f"an element of str is str, not {type(value).__name__}"):
        DataPacker("str").pack(value)


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        ("str", b"ab\xff"),
        ("str:4", b"\xc3\x28\0\0"),
        ("str:utf16le", b"\0\xd8"),
        ("str:utf16be", b"a"),
        ("str:ascii", b"\x80"),
    ],
)
def test_bytes_that_are_no_such_text_are_a_value_error(dtype: str, data: bytes) -> None:
    with pytest.raises(ValueError, match="byte"):
        DataPacker(dtype).unpack(data)


# ---- a record in N bytes ----


@pytest.mark.parametrize("kind", ["msgpack", "cbor"])
def test_a_record_of_a_size_is_padded_with_zeros_and_no_longer(kind: str) -> None:
    packer = DataPacker(f"{kind}:16")
    value = {"id": 1, "x": [1, 2]}
    data = packer.pack(value)
    assert len(data) == 16
    assert data.rstrip(b"\0") == DataPacker(kind).pack(value)
    assert packer.unpack(data) == value
    assert packer.unpack_many(packer.pack_many([value, 5, None])) == [value, 5, None]
    with pytest.raises(InvalidArgument, match="Data too long"):
        packer.pack("x" * 16)
    with pytest.raises(ValueError, match="where only padding may"):
        packer.unpack(data[:-1] + b"\1")
    with pytest.raises(ValueError, match="Not enough data"):
        packer.unpack(data[:-1])


# ---- offsets and batches ----


@pytest.mark.parametrize("dtype", ["i64", "f32", "bool", "bytes:3", "str:3"])
def test_too_few_bytes_are_not_enough_data(dtype: str) -> None:
    packer = DataPacker(dtype)
    data = bytes(packer.elem_size)
    for size in range(packer.elem_size):
        with pytest.raises(ValueError, match="Not enough data"):
            packer.unpack(data[:size])
    for offset in (1, packer.elem_size, packer.elem_size + 1, 2**62):
        with pytest.raises(ValueError, match="Not enough data"):
            packer.unpack(data, offset)


@pytest.mark.parametrize("dtype", ["i64", "bytes", "str", "msgpack", "cbor"])
def test_an_offset_is_a_position_in_the_data(dtype: str) -> None:
    packer = DataPacker(dtype)
    value = {"i64": 7, "bytes": b"abc", "str": "abc"}.get(dtype, [1, "abc"])
    data = b"\0\0\0" + packer.pack(value)
    assert packer.unpack(data, 3) == packer.unpack(data=data, offset=3) == packer.unpack(memoryview(data)[3:]) == value
    for bad in (-1, 2**70):
        with pytest.raises(ValueError, match="offset"):
            packer.unpack(data, bad)
    wrong: Any = "3"
    with pytest.raises(TypeError):
        packer.unpack(data, wrong)
    with pytest.raises(ValueError, match="Not enough data"):
        packer.unpack(data, len(data) + 1)


@pytest.mark.parametrize("data", [b"\5\0\0\0\6\0\0\0", bytearray(b"\5\0\0\0\6\0\0\0"), array.array("i", [5, 6])])
def test_data_are_any_buffer(data: bytes) -> None:
    packer = DataPacker("i32")
    assert packer.unpack(data, 4) == 6
    assert packer.unpack_many(data) == [5, 6]
    for bad in ("text", 5, None):
        for call in (packer.unpack, packer.unpack_many):
            with pytest.raises(TypeError, match="data are bytes-like"):
                call(bad)  # type: ignore[arg-type]


def test_a_count_is_how_many_are_read() -> None:
    packer = DataPacker("u16")
    data = packer.pack_many(range(5))
    assert packer.unpack_many(data) == packer.unpack_many(data, None) == packer.unpack_many(data, 5) == [0, 1, 2, 3, 4]
    assert packer.unpack_many(data, count=2) == [0, 1]
    assert packer.unpack_many(data, 0) == packer.unpack_many(b"") == []
    for count in (6, 2**40, 2**63 - 1):
        with pytest.raises(ValueError, match="Not enough data"):
            packer.unpack_many(data, count)
    with pytest.raises(ValueError, match="Not enough data"):
        packer.unpack_many(data[:-1])
    with pytest.raises(ValueError, match="count is -1"):
        packer.unpack_many(data, -1)


VARIABLE: dict[str, list[Any]] = {
    "bytes": [b"", b"a", b"", b"bcd", b"\0" * 2000],
    "str": ["", "a", "", "花", "x" * 2000],
    "str:utf16be": ["a", "", "🍺"],
    "msgpack": [None, {"a": 1}, [], "x" * 2000, 5],
    "cbor": [None, {"a": 1}, [], "x" * 2000, 5],
}


@pytest.mark.parametrize("dtype", VARIABLE)
def test_offsets_are_where_each_value_begins(dtype: str) -> None:
    packer = DataPacker(dtype)
    values = VARIABLE[dtype]
    data, offsets = packer.pack_many_with_offsets(values)
    pieces = [packer.pack(value) for value in values]
    assert data == packer.pack_many(values) == b"".join(pieces)
    assert offsets == [sum(map(len, pieces[:index])) for index in range(len(pieces))]
    assert packer.unpack_many(data, offsets=offsets) == values
    assert packer.unpack_many(data, None, tuple(offsets)) == values
    assert packer.pack_many_with_offsets([]) == (b"", [])
    assert packer.unpack_many(b"", offsets=[]) == []


@pytest.mark.parametrize("dtype", VARIABLE)
def test_elements_of_any_size_require_offsets_that_lie_in_the_data(dtype: str) -> None:
    packer = DataPacker(dtype)
    data, offsets = packer.pack_many_with_offsets(VARIABLE[dtype])
    for count in (None, 1):
        with pytest.raises(InvalidArgument, match="require offsets"):
            packer.unpack_many(data, count)
    with pytest.raises(ValueError, match="Not enough data"):
        packer.unpack_many(data, offsets=[len(data) + 1])
    with pytest.raises(ValueError, match="offset"):
        packer.unpack_many(data, offsets=[-1])
    with pytest.raises(ValueError, match="not both"):
        packer.unpack_many(data, 1, offsets)
    bad: Any = ["0"]
    with pytest.raises(TypeError):
        packer.unpack_many(data, offsets=bad)


def test_offsets_of_bytes_do_not_go_back() -> None:
    with pytest.raises(ValueError, match="offset 1 of element 1 follows offset 2"):
        DataPacker("bytes").unpack_many(b"abc", offsets=[2, 1])


def test_elements_of_fixed_size_have_offsets_too() -> None:
    packer = DataPacker("i32")
    data, offsets = packer.pack_many_with_offsets([5, 6, 7])
    assert offsets == [0, 4, 8]
    assert packer.unpack_many(data, offsets=[8, 0]) == [7, 5]


@pytest.mark.parametrize(
    "make", [list, tuple, iter, lambda v: (x for x in v), lambda v: dict.fromkeys(v), lambda v: array.array("q", v)]
)
def test_values_are_any_iterable(make: Callable[[list[int]], Any]) -> None:
    assert DataPacker("i64").pack_many(make([1, 2, 3])) == array.array("q", [1, 2, 3]).tobytes()
    bad: Any = 5
    with pytest.raises(TypeError):
        DataPacker("i64").pack_many(bad)


CODES = {"i8": "b", "i16": "h", "i32": "i", "i64": "q", "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "f32": "f"}
CODES["f64"] = "d"


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("code", CODES.values())
def test_an_array_is_packed_as_its_items_are(dtype: str, code: str) -> None:
    packer = DataPacker(dtype)
    values = array.array(code, [0, 1, 2, 100])
    if code in "fd" and dtype not in ("f32", "f64"):
        with pytest.raises(TypeError):
            packer.pack_many(values)
    else:
        assert packer.pack_many(values) == packer.pack_many(list(values))
        assert packer.unpack_many(packer.pack_many(values)) == list(values)


def test_a_numpy_array_of_any_layout_is_packed_as_its_items_are() -> None:
    numpy = pytest.importorskip("numpy")
    packer = DataPacker("i32")
    numbers = numpy.arange(-50, 50, dtype="<i4")
    want = numbers.tolist()
    assert packer.pack_many(numbers) == numbers.tobytes()
    for same in (numbers.astype(">i4"), numbers.astype("<i8"), numbers.astype("<i2"), numpy.repeat(numbers, 2)[::2]):
        assert packer.unpack_many(packer.pack_many(same)) == want
    assert numpy.array_equal(numpy.frombuffer(packer.pack_many(want), "<i4"), numbers)
    with pytest.raises(OverflowError):
        DataPacker("i8").pack_many(numpy.array([1000]))
    with pytest.raises(TypeError):
        packer.pack_many(numpy.array([1.5]))
    with pytest.raises(TypeError):
        packer.pack_many(numpy.zeros((2, 2), dtype="<i4"))
    assert DataPacker("f64").pack_many(numpy.array([1, 2], "<f4")) == DataPacker("f64").pack_many([1.0, 2.0])
    assert DataPacker("bytes:3").pack_many(numpy.array([b"ab", b"c"], "S3")) == b"ab\0c\0\0"
    assert DataPacker("bytes:4").pack_many(numpy.array([b"ab", b"c"], "S3")) == b"ab\0\0c\0\0\0"
    assert DataPacker("bool").pack_many(numpy.array([True, False, True])[::2]) == b"\1\1"


def test_memory_that_was_cast_to_bool_holds_only_bools() -> None:
    assert DataPacker("bool").pack_many(memoryview(b"\0\1\2\xff").cast("?")) == b"\0\1\1\1"


def test_a_batch_that_fails_leaves_nothing() -> None:
    for dtype, values in (("i64", [1, 2, "x"]), ("msgpack", [1, {2}]), ("str:2", ["ab", "abc"])):
        packer = DataPacker(dtype)
        for call in (packer.pack_many, packer.pack_many_with_offsets):
            with pytest.raises((TypeError, ValueError)):
                call(values)


def test_a_list_that_shrinks_while_it_is_packed_is_a_runtime_error() -> None:
    values: list[Any] = [1, 2]

    class Shrinking:
        def __index__(self) -> int:
            values.clear()
            return 3

    values += [Shrinking(), 4]
    with pytest.raises(RuntimeError, match="a list changed"):
        DataPacker("i64").pack_many(values)


def test_offsets_that_shrink_while_they_are_read_are_a_runtime_error() -> None:
    offsets: list[Any] = []

    class Shrinking:
        def __index__(self) -> int:
            offsets.clear()
            return 0

    offsets += [Shrinking(), 0]
    with pytest.raises(RuntimeError, match="changed"):
        DataPacker("msgpack").unpack_many(b"\1", offsets=offsets)


# ---- the class ----


def test_it_shows_what_makes_it() -> None:
    for text in ("i64", "str:16:utf16le", "msgpack"):
        assert repr(DataPacker(text)) == f"DataPacker({text!r})"
        assert DataPacker(dtype=text).dtype == text


@pytest.mark.parametrize("dtype", ["i64", "str:8:latin1", "msgpack", "cbor:99"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_can_be_pickled_and_copied(dtype: str, protocol: int) -> None:
    packer = DataPacker(dtype)
    for again in (pickle.loads(pickle.dumps(packer, protocol)), copy.copy(packer), copy.deepcopy(packer)):
        assert type(again) is DataPacker
        assert again.dtype == dtype


def test_it_is_what_the_extension_exports() -> None:
    from kohakuvault import _kvault

    assert _kvault.DataPacker is kohakuvault.DataPacker is DataPacker
    with pytest.raises(TypeError):
        type("Sub", (DataPacker,), {})
    with pytest.raises(AttributeError):
        DataPacker("i64").dtype = "i32"  # type: ignore[misc]


def test_calls_refuse_arguments_that_they_do_not_know() -> None:
    packer: Any = DataPacker("i64")
    data = bytes(8)
    for call in (
        lambda: packer.unpack(),
        lambda: packer.unpack(data, 0, 0),
        lambda: packer.unpack(data, offset=0, other=1),
        lambda: packer.unpack(data, data=data),
        lambda: packer.unpack_many(),
        lambda: packer.unpack_many(data, 1, None, None),
        lambda: packer.unpack_many(data, size=1),
        lambda: packer.pack(),
    ):
        with pytest.raises(TypeError):
            call()


def test_many_threads_may_use_one_packer() -> None:
    packer = DataPacker("msgpack")
    records = [{f"key{i % (j + 2)}": i, "n": j, "list": [i, str(j)]} for i in range(40) for j in range(5)]
    packed = [packer.pack(record) for record in records]
    wrong = []

    def work() -> None:
        for _ in range(30):
            for record, data in zip(records, packed, strict=True):
                if packer.unpack(data) != record or packer.pack(record) != data:
                    wrong.append(record)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
