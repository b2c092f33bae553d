"""Columns behave like lists in a file: one test per promise."""

from __future__ import annotations

import array
import gc
import pickle
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kohakuvault import (
    Column,
    ColumnVault,
    CorruptData,
    DataPacker,
    InvalidArgument,
    KVault,
    NotFound,
    ReadOnly,
    SchemaError,
    VarSizeColumn,
    Vault,
    WrongType,
    column_proxy,
)


@pytest.fixture
def columns(path: Path) -> Iterator[ColumnVault]:
    with ColumnVault(path) as opened:
        yield opened
        if not opened.closed:
            assert opened.verify() == []


SAMPLES: dict[str, list[Any]] = {
    "i8": [-128, 0, 127],
    "i16": [-32768, 0, 32767],
    "i32": [-(2**31), 0, 2**31 - 1],
    "i64": [-(2**63), 0, 2**63 - 1],
    "u8": [0, 1, 255],
    "u16": [0, 1, 65535],
    "u32": [0, 1, 2**32 - 1],
    "u64": [0, 1, 2**64 - 1],
    "f32": [0.0, -1.5, 3.25],
    "f64": [0.0, -1.5, 1e300],
    "bool": [True, False, True],
    "bytes:4": [b"abcd", b"\0\0\0\0", b"ab\0\0"],
    "bytes": [b"", b"a", bytes(300)],
    "str": ["", "a", "grüße" * 50],
    "str:utf16le": ["", "a", "grüße"],
    "str:latin1": ["", "a", "grüße"],
    "str:8": ["", "a", "grüße"],
    "str:8:utf16be": ["", "a", "abcd"],
    "msgpack": [None, {"a": [1, 2.5, "x", b"y"]}, [True]],
    "msgpack:64": [None, {"a": 1}, [True]],
    "cbor": [None, {"a": [1, 2.5, "x", b"y"]}, 2**80],
    "cbor:64": [None, {"a": 1}, [True]],
}


def fill(folder: Path) -> None:
    """The quick start, as the front page has it."""
    db_path = folder / "kohaku.db"
    kv = KVault(db_path)
    kv["cover:001"] = b"\x89PNG..."
    assert kv.get("cover:001").startswith(b"\x89PNG")

    cols = ColumnVault(kv)
    temps = cols.ensure("temperatures", "f64")
    temps.extend([23.6, 23.8, 24.1])
    profiles = cols.ensure("profiles", "msgpack")
    profiles.append({"id": 1, "name": "Rin", "active": True})
    assert profiles[0]["name"] == "Rin"

    packer = DataPacker("bytes:32")
    token = packer.pack(b"session")
    assert packer.unpack(token, 0).rstrip(b"\x00") == b"session"


def test_the_quick_start_runs_and_runs_again(folder: Path) -> None:
    fill(folder)
    fill(folder)
    with ColumnVault(folder / "kohaku.db") as cols:
        assert cols["temperatures"][:] == [23.6, 23.8, 24.1] * 2
        assert len(cols["profiles"]) == 2


@pytest.mark.parametrize("dtype", SAMPLES)
def test_every_dtype_goes_in_and_comes_back(path: Path, dtype: str) -> None:
    values = SAMPLES[dtype]
    with ColumnVault(path) as cols:
        column = cols.create_column("c", dtype)
        assert isinstance(column, VarSizeColumn if column.element_bytes == 0 else Column)
        column.append(values[0])
        column.extend(values[1:])
        column.insert(1, values[2])
        column[0] = values[1]
        want = [values[1], values[2], values[1], values[2]]
        assert column[:] == want
        assert column.dtype == dtype
    with ColumnVault(path) as cols:
        assert cols["c"] == want
        assert list(cols["c"]) == want
        assert cols.verify() == []


def test_a_column_is_a_mutable_sequence_and_no_key(columns: ColumnVault) -> None:
    column = columns.create_column("c", "i64")
    assert isinstance(column, MutableSequence)
    assert not column
    column += [1]
    assert column
    with pytest.raises(TypeError):
        hash(column)


def test_the_names_of_the_older_module() -> None:
    assert column_proxy.ColumnVault is ColumnVault
    assert column_proxy.Column is Column
    assert column_proxy.VarSizeColumn is VarSizeColumn


# ---- the vault of columns ----


def test_ensure_makes_once_and_refuses_another_dtype(columns: ColumnVault) -> None:
    column = columns.ensure("a", "str:utf8")
    assert columns.ensure("a", "str") is column
    assert columns["a"] is column
    with pytest.raises(InvalidArgument, match="column 'a' holds str:utf8, got i64"):
        columns.ensure("a", "i64")
    with pytest.raises(InvalidArgument, match="there is a column 'a' already"):
        columns.create_column("a", "str")
    with pytest.raises(InvalidArgument, match="Unknown dtype"):
        columns.ensure("b", "f65")
    assert "b" not in columns


def test_a_column_is_one_object_while_it_lives(columns: ColumnVault) -> None:
    column = columns.ensure("a", "i64")
    alive = weakref.ref(column)
    assert columns["a"] is column
    del column
    gc.collect()
    assert alive() is None
    assert columns["a"][:] == []


def test_the_vault_is_a_mapping_of_names(columns: ColumnVault) -> None:
    columns.ensure("b", "i64").extend([1, 2])
    columns.ensure("a", "str")
    columns.ensure("grüße", "bytes:3")
    assert list(columns) == ["a", "b", "grüße"]
    assert len(columns) == 3
    assert columns.list_columns() == [("a", "str", 0), ("b", "i64", 2), ("grüße", "bytes:3", 0)]
    assert "a" in columns
    assert "c" not in columns
    assert columns.get("c") is None
    with pytest.raises(TypeError):
        5 in columns  # noqa: B015
    with pytest.raises(NotFound, match="there is no column 'c'"):
        columns["c"]
    assert columns.delete_column("a")
    assert not columns.delete_column("a")
    del columns["b"]
    with pytest.raises(NotFound):
        del columns["b"]
    assert list(columns) == ["grüße"]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256, "\ud800"])
def test_names_that_none_can_have(columns: ColumnVault, name: str) -> None:
    with pytest.raises(ValueError, match=r"column name|surrogates"):
        columns.create_column(name, "i64")


def test_a_name_of_255_characters(columns: ColumnVault) -> None:
    name = "ü" * 255
    columns.create_column(name, "i64").append(1)
    assert columns[name].name == name


def test_a_handle_follows_a_rename_and_not_another_column(columns: ColumnVault, path: Path) -> None:
    column = columns.ensure("a", "i64")
    column.extend([1, 2])
    columns.rename_column("a", "b")
    assert column.name == "b"
    assert columns["b"] is column
    columns.ensure("taken", "i64")
    with pytest.raises(InvalidArgument, match="there is a column 'taken'"):
        columns.rename_column("b", "taken")
    with pytest.raises(NotFound):
        columns.rename_column("a", "c")
    columns.delete_column("b")
    fresh = columns.ensure("b", "i64")
    fresh.append(7)
    for use in (
        lambda: column[0],
        lambda: len(column),
        lambda: column.append(1),
        lambda: column.name,
        lambda: list(column),
        lambda: column.extend([1]),
        lambda: column.pop(),
    ):
        with pytest.raises(NotFound):
            use()
    assert fresh[:] == [7]
    assert "deleted" in repr(column)


def test_chunks_have_limits(path: Path) -> None:
    for least, most in ((0, 1), (2, 1), (1, (16 << 20) + 1)):
        with pytest.raises(InvalidArgument):
            ColumnVault(":memory:", min_chunk_bytes=least, max_chunk_bytes=most)
    with ColumnVault(path, min_chunk_bytes=1, max_chunk_bytes=1) as cols:
        cols.create_column("a", "bytes:9000").extend([bytes([i]) * 9000 for i in range(5)])
        cols.create_column("b", "str", 16 << 20).extend(["x" * 100_000] * 5)
        with pytest.raises(InvalidArgument):
            cols.create_column("c", "str", 0)
        assert cols["a"][4] == b"\4" * 9000
        assert cols.verify() == []


# ---- elements, by index ----


def test_indices_are_those_of_a_list(columns: ColumnVault) -> None:
    column = columns.ensure("a", "i64")
    column.extend(range(10))

    class Index:
        def __index__(self) -> int:
            return -2

    assert (column[0], column[-1], column[Index()], column[True]) == (0, 9, 8, 1)
    for index in (10, -11, 2**63, -(2**70)):
        with pytest.raises(IndexError, match=r"out of range|cannot fit"):
            column[index]
        with pytest.raises(IndexError):
            column[index] = 1
        with pytest.raises(IndexError):
            del column[index]
        with pytest.raises(IndexError):
            column.pop(index)
    for index in ("0", 1.0, None):
        with pytest.raises(TypeError, match="indices must be integers or slices"):
            column[index]
        with pytest.raises(TypeError):
            column[index] = 1
        with pytest.raises(TypeError):
            del column[index]
    assert column == list(range(10))


@pytest.mark.parametrize("dtype", ["i64", "msgpack"])
def test_slices_are_those_of_a_list(columns: ColumnVault, dtype: str) -> None:
    model = list(range(30))
    column = columns.ensure("a", dtype)
    column.extend(model)
    bounds = [None, 0, 1, 7, 29, 30, 40, -1, -30, -31, 2**62]
    for start in bounds:
        for stop in bounds:
            for step in (None, 1, 2, 7, -1, -3, -40):
                assert column[start:stop:step] == model[start:stop:step]
    with pytest.raises(ValueError, match="step cannot be zero"):
        column[::0]


def test_a_slice_takes_as_many_values_as_it_has(columns: ColumnVault) -> None:
    column = columns.ensure("a", "i64")
    column.extend(range(6))
    column[1:3] = (10, 20)
    column[::-2] = iter([7, 8, 9])
    assert column[:] == [0, 9, 20, 8, 4, 7]
    column[2:2] = []
    for values in ([1], [1, 2, 3], []):
        with pytest.raises(ValueError, match="length mismatch"):
            column[0:2] = values
    with pytest.raises(ValueError, match="length mismatch"):
        column[2:2] = [1]
    with pytest.raises(TypeError):
        column[0:2] = 5
    assert column[:] == [0, 9, 20, 8, 4, 7]


def test_wrong_values_change_nothing(columns: ColumnVault) -> None:
    small = columns.ensure("a", "i8")
    small.extend([1, 2, 3])
    for value, raised in ((128, OverflowError), ("1", TypeError), (1.0, TypeError), (None, TypeError)):
        with pytest.raises(raised):
            small.append(value)
        with pytest.raises(raised):
            small.extend([4, value])
        with pytest.raises(raised):
            small.insert(0, value)
        with pytest.raises(raised):
            small[0] = value
        with pytest.raises(raised):
            small[0:2] = [9, value]
    assert small == [1, 2, 3]
    text = columns.ensure("b", "str:4")
    with pytest.raises(ValueError, match="Data too long"):
        text.append("abcde")
    with pytest.raises(OverflowError):
        columns.ensure("c", "f32").append(1e300)
    assert len(text) == 0


# ---- the protocol ----


def test_methods_do_what_a_lists_do(columns: ColumnVault) -> None:
    column = columns.ensure("a", "str")
    model = ["b", "a", "c", "a"]
    column.extend(model)
    assert column.index("a") == 1
    assert column.index("a", 2) == 3
    assert column.index("a", -2) == 3
    for bounds in ((2, 3), (4,), (-1, -1)):
        with pytest.raises(ValueError, match="is not in column"):
            column.index("a", *bounds)
    assert column.count("a") == 2
    assert "c" in column
    assert "z" not in column
    column.remove("a")
    model.remove("a")
    with pytest.raises(ValueError, match="'z' is not in column 'a'"):
        column.remove("z")
    column.reverse()
    model.reverse()
    assert column == model
    assert column.pop() == model.pop()
    assert column.pop(0) == model.pop(0)
    column.insert(-100, "x")
    column.insert(100, "y")
    assert column == ["x", "c", "y"] or column == ["x", *model, "y"]
    column.clear()
    assert column == []
    with pytest.raises(IndexError):
        column.pop()


def test_equality_with_any_sequence(columns: ColumnVault) -> None:
    a, b = columns.ensure("a", "i64"), columns.ensure("b", "f64")
    a.extend([1, 2])
    b.extend([1, 2])
    assert a == b
    assert a == [1, 2]
    assert a == (1, 2)
    assert a == range(1, 3)
    assert a == [1, 2]
    assert a != [1]
    assert a != [1, 3]
    assert a != "12"
    assert a != {1, 2}
    assert a == a


@pytest.mark.parametrize("dtype", ["i64", "msgpack"])
def test_iteration_is_by_index_like_a_lists(columns: ColumnVault, dtype: str) -> None:
    column = columns.ensure("a", dtype)
    column.extend(range(5))
    seen = []
    for value in column:
        seen.append(value)
        if value < 20:
            column.append(value + 10)
        if value == 2:
            column[3] = 33
        if value == 12:
            del column[0]
    model = list(range(5))
    wanted = []
    for value in model:
        wanted.append(value)
        if value < 20:
            model.append(value + 10)
        if value == 2:
            model[3] = 33
        if value == 12:
            del model[0]
    assert seen == wanted
    assert column == model
    backward = reversed(column)
    assert next(backward) == model[-1]
    del column[3:]
    assert list(backward) == []
    ended = iter(column)
    assert list(ended) == model[:3]
    column.append(9)
    assert list(ended) == []


def test_a_rollback_ends_what_was_read_ahead(columns: ColumnVault) -> None:
    column = columns.ensure("a", "i64")
    column.extend(range(10))
    walk = iter(column)

    def change() -> None:
        with columns.transaction():
            column[5] = 55
            assert [next(walk) for _ in range(6)] == [0, 1, 2, 3, 4, 55]
            column[6:8] = [66, 77]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert list(walk) == [6, 7, 8, 9]


def test_extend_with_itself_and_with_iterators(columns: ColumnVault) -> None:
    column = columns.ensure("a", "i64")
    column.extend(range(3))
    column.extend(column)
    column += column
    assert column == [0, 1, 2] * 4
    column.clear()
    column.extend(iter(range(10_000)))
    assert column == range(10_000)

    def failing() -> Iterator[int]:
        yield from range(9_000)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        column.extend(failing())
    assert len(column) == 10_000 + 8192  # whole batches
    with pytest.raises(TypeError):
        column.extend(5)


def test_reverse_of_more_than_a_window(columns: ColumnVault) -> None:
    column = columns.ensure("a", "i32")
    column.extend(range(20_001))
    column.reverse()
    assert column == range(20_000, -1, -1)


# ---- arrays and buffers ----


def test_numpy_in_and_out(columns: ColumnVault) -> None:
    np = pytest.importorskip("numpy")
    for dtype, kind in (("f64", "<f8"), ("i32", "<i4"), ("u8", "u1"), ("bool", "?"), ("f32", "<f4")):
        column = columns.ensure(dtype, dtype)
        values = (np.arange(20_000) % 2).astype(kind)
        column.extend(values)
        column[5:10] = values[5:10]
        assert column.to_numpy().dtype == np.dtype(kind)
        assert np.array_equal(column.to_numpy(), values)
        assert np.array_equal(np.asarray(column), values)
        assert np.array_equal(column.to_numpy(-5), values[-5:])
        assert np.array_equal(column.to_numpy(7, 9), values[7:9])
        into = np.zeros(10, kind)
        assert column.read_into(into, 19_995) == 5
        assert np.array_equal(into[:5], values[-5:])
        assert all(isinstance(part, np.ndarray) for part in column.iter_batches(7000, numpy=True))
        assert column.take(np.array([0, -1, 5])) == [values[0], values[-1], values[5]]
    assert list(columns["f64"].iter_batches(15_000))[1] == columns["f64"][15_000:]
    with pytest.raises(InvalidArgument):
        columns["f64"].iter_batches(0)
    with pytest.raises(WrongType):
        columns.ensure("s", "str").to_numpy()
    with pytest.raises(WrongType):
        columns["f64"].read_into(np.zeros(3, "<i8"))


def test_a_buffer_of_another_kind_goes_in_without_loss(columns: ColumnVault) -> None:
    np = pytest.importorskip("numpy")
    whole = columns.ensure("i", "i64")
    whole.extend(np.array([1, 2], "<i2"))
    whole.extend(np.array([3, 4], ">i8"))
    whole.extend(np.arange(10, dtype="<i8")[::5])
    whole.extend(array.array("b", [-1]))
    assert whole == [1, 2, 3, 4, 0, 5, -1]
    for values in (np.array([1.0]), np.array(["1"]), np.zeros((2, 2), "<i8")):
        with pytest.raises(TypeError):
            whole.extend(values)
    with pytest.raises(OverflowError):
        columns.ensure("b", "i8").extend(np.array([1, 300], "<i8"))
    assert len(columns["b"]) == 0
    assert len(whole) == 7


# ---- records, text, functions of the user ----


def test_records_are_checked_by_a_schema_that_is_kept(path: Path) -> None:
    pytest.importorskip("jsonschema_rs")
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    with ColumnVault(path) as cols:
        cols.create_column("r", "msgpack", schema=schema).append({"id": 1})
    with ColumnVault(path) as cols:
        records = cols.ensure("r", "msgpack", schema=schema)
        for write in (
            lambda: records.append({"id": "1"}),
            lambda: records.extend([{"id": 2}, {}]),
            lambda: records.__setitem__(0, {}),
            lambda: records.insert(0, {}),
        ):
            with pytest.raises(SchemaError, match="Validation errors"):
                write()
        assert records == [{"id": 1}]
        with pytest.raises(InvalidArgument, match="another schema"):
            cols.ensure("r", "msgpack", schema={"type": "object"})
        with pytest.raises(InvalidArgument):
            cols.create_column("x", "msgpack", schema={"type": 5})
        assert "x" not in cols


def test_a_dtype_of_the_users_own(path: Path) -> None:
    def pack(value: complex) -> bytes:
        return f"{value.real} {value.imag}".encode()

    def unpack(data: bytes) -> complex:
        real, imaginary = data.split()
        return complex(float(real), float(imaginary))

    with ColumnVault(path) as cols:
        with pytest.raises(InvalidArgument, match="Unknown dtype"):
            cols.create_column("z", "complex")
        with pytest.raises(InvalidArgument, match="go together"):
            cols.create_column("z", "complex", pack=pack)
        column = cols.create_column("z", "complex", pack=pack, unpack=unpack)
        column.extend([1j, 2, 3 - 1j])
        assert column == [1j, 2, 3 - 1j]
        with pytest.raises(AttributeError):
            column.append("x")
        assert cols["z"] is column
    with ColumnVault(path) as cols:
        with pytest.raises(InvalidArgument, match=r"Unknown dtype .*needs its pack and unpack"):
            cols["z"]
        assert cols.ensure("z", "complex", pack=pack, unpack=unpack)[1] == 2


def test_large_elements_and_slack(columns: ColumnVault) -> None:
    column = columns.ensure("a", "bytes")
    model = [bytes([i]) * size for i, size in enumerate((10, 70_000, 300_000, 0, 600_000, 65_396, 65_397))]
    column.extend(model)
    assert column == model
    assert column.nbytes == sum(map(len, model))
    for i in (1, 4, 0):
        model[i] = column[i] = model[i][:7]
    assert column == model
    assert column.fragmentation() > 0
    assert column.compact() > 0
    assert column.fragmentation() == 0
    assert column == model


# ---- cache, transactions, snapshots, handles ----


def test_pending_appends_are_seen_by_everything(path: Path) -> None:
    kv = KVault(path)
    cols = ColumnVault(kv)
    numbers, texts = cols.ensure("n", "i64"), cols.ensure("t", "str")
    numbers.extend([1, 2])
    with kv.cache():
        numbers.append(3)
        numbers.extend(range(4, 100))
        texts.append("a")
        texts.extend(["b", "c"])
        kv["k"] = b"v"
        assert kv.stats()["pending_entries"] == 101
        assert numbers[:] == list(range(1, 100))
        assert (numbers[1], numbers[2], numbers[-1], len(numbers)) == (2, 3, 99, 99)
        assert texts[::-1] == ["c", "b", "a"]
        assert list(reversed(texts)) == ["c", "b", "a"]
        assert texts[1] == "b"
        assert cols.list_columns() == [("n", "i64", 99), ("t", "str", 3)]
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT count(*) FROM col_tail").fetchone() == (0,)
    assert kv.stats()["pending_entries"] == 0
    assert numbers == range(1, 100)
    assert texts == ["a", "b", "c"]
    kv.close()


def test_an_edit_carries_what_is_pending(path: Path) -> None:
    kv = KVault(path)
    cols = ColumnVault(kv)
    column = cols.ensure("a", "str")
    kv.enable_cache()
    kv["k"] = b"v"
    column.append("x")
    column.append("y")
    column[0] = "z"
    assert kv.stats()["pending_entries"] == 0
    assert column == ["z", "y"]
    assert kv.flush_cache() == 0
    column.append("w")
    assert column.pop() == "w"
    kv.close()


def test_a_column_has_a_cache_of_its_own(columns: ColumnVault) -> None:
    a, b = columns.ensure("a", "i64"), columns.ensure("b", "i64")
    a.enable_cache()
    a.append(1)
    assert columns.stats()["pending_entries"] == 1
    assert a.flush_cache() == 1
    b.append(1)
    assert columns.stats()["pending_entries"] == 0
    a.disable_cache()
    with a.cache(cap_bytes=1000, auto_flush=False):
        a.extend(range(50))
        assert columns.stats()["pending_entries"] == 50
        a.extend(range(1000))  # more than the capacity: committed with all before it
        assert columns.stats()["pending_entries"] == 0
    assert a == [1, *range(50), *range(1000)]


def test_inside_lock_cache_only_appends_go(path: Path) -> None:
    kv = KVault(path)
    cols = ColumnVault(kv)
    a, b = cols.ensure("a", "i64"), cols.ensure("b", "msgpack")
    a.extend([1, 2])
    with cols.lock_cache():
        a.append(3)
        b.append({"row": 3})
        kv["3"] = b"x"
        assert cols.flush_cache() == 0
        for call in (
            lambda: a.__setitem__(0, 1),
            lambda: a.insert(0, 1),
            lambda: a.__delitem__(0),
            lambda: a.pop(),
            lambda: a.clear(),
            lambda: a.reverse(),
            lambda: b.compact(),
            lambda: cols.create_column("c", "i64"),
            lambda: cols.delete_column("a"),
            lambda: cols.rename_column("a", "z"),
        ):
            with pytest.raises(ValueError, match="lock_cache"):
                call()
        assert a == [1, 2, 3]
    assert kv.stats()["pending_entries"] == 0
    assert (a[:], b[:], kv["3"]) == ([1, 2, 3], [{"row": 3}], b"x")
    kv.close()


def test_one_transaction_over_blobs_and_columns(path: Path) -> None:
    kv = KVault(path)
    cols = ColumnVault(kv)
    a = cols.ensure("a", "i64")
    a.extend(range(5))

    def cut() -> None:
        with kv.transaction():
            del a[1:]
            raise KeyError

    def change() -> None:
        with kv.transaction():
            a.append(9)
            a[0] = 7
            kv["k"] = b"v"
            cols.ensure("new", "str").append("x")
            assert a == [7, 1, 2, 3, 4, 9]
            with pytest.raises(KeyError):
                cut()
            assert len(a) == 6
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert a == range(5)
    assert "k" not in kv
    assert "new" not in cols
    kv.close()


def test_a_snapshot_sees_its_instant(path: Path) -> None:
    kv = KVault(path)
    cols = ColumnVault(kv)
    a = cols.ensure("a", "str")
    a.extend(["1", "2"])
    with kv.snapshot() as seen:
        then = ColumnVault(seen)["a"]
        a[0] = "x"
        a.extend(str(i) for i in range(1000))
        cols.delete_column("a")
        assert then == ["1", "2"]
        with pytest.raises(ReadOnly):
            then.append("3")
    with cols.snapshot() as seen:
        assert list(seen) == []
    kv.close()


def test_pickles_open_the_same_column(path: Path) -> None:
    cols = ColumnVault(path, max_chunk_bytes=8192)
    a = cols.ensure("a", "i64")
    a.enable_cache()
    a.append(1)
    again = pickle.loads(pickle.dumps(a))
    assert again == [1]
    assert again is not a
    assert pickle.loads(pickle.dumps(cols))["a"] == [1]
    with pytest.raises(TypeError):
        pickle.dumps(ColumnVault(":memory:").ensure("a", "i64"))
    cols.close()


def test_a_close_ends_the_columns(path: Path) -> None:
    kv = KVault(path)
    cols = ColumnVault(kv)
    a = cols.ensure("a", "i64")
    a.enable_cache()
    a.append(1)
    kv.close()
    for use in (lambda: a[0], lambda: a.append(1), lambda: len(a), lambda: cols["a"], lambda: list(cols)):
        with pytest.raises(ValueError, match="closed"):
            use()
    with Vault(path) as vault:
        assert vault.columns()["a"] == [1]


def test_a_column_keeps_its_vault_alive(path: Path) -> None:
    column = ColumnVault(path).ensure("a", "i64")
    gc.collect()
    column.append(1)
    assert column == [1]


# ---- damage ----


def test_damage_is_an_error_that_names_the_place(path: Path) -> None:
    with ColumnVault(path) as cols:
        numbers, texts = cols.ensure("n", "i64"), cols.ensure("t", "str")
        numbers.extend(range(20_000))
        texts.extend([f"{i:050}" for i in range(5000)])
        texts.append("tail")
        ids = numbers.id & 0xFFFFFFFF, texts.id & 0xFFFFFFFF
    with sqlite3.connect(path) as raw:
        for number in ids:
            (data,) = raw.execute("SELECT data FROM col_chunks WHERE id = ?", (number << 32 | 2,)).fetchone()
            data = data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]
            raw.execute("UPDATE col_chunks SET data = ? WHERE id = ?", (data, number << 32 | 2))
        raw.execute("UPDATE col_tail SET record = zeroblob(30)")
    raw.close()
    with ColumnVault(path) as cols:
        numbers, texts = cols["n"], cols["t"]
        with pytest.raises(CorruptData, match=r'column "n" is damaged, chunk 2, elements 8176 to 16351.*block 1'):
            numbers[:]
        assert numbers[8176] == 8176
        assert numbers[19_999] == 19_999
        with pytest.raises(CorruptData, match='column "t" is damaged, tail, element 5000'):
            texts[-1]
        with pytest.raises(CorruptData):
            len(texts)
        found = cols.verify()
        assert any('"n"' in where for where, _ in found)
        assert any('"t"' in where for where, _ in found)


# ---- ids that a rollback takes back ----


def test_the_handle_of_a_column_that_was_rolled_back_reads_no_other_one(columns: ColumnVault) -> None:
    with suppress(ZeroDivisionError), columns.transaction():
        gone = columns.create_column("gone", "i64")
        gone.extend([1, 2, 3])
        raise ZeroDivisionError
    other = columns.create_column("other", "f64")
    other.extend([1.5, 2.5])
    assert (other is not gone, other.dtype, other.id != gone.id) == (True, "f64", True)
    assert columns["other"] is other
    uses: list[Callable[[], object]] = [
        lambda: len(gone),
        lambda: gone[0],
        lambda: gone[:],
        lambda: list(gone),
        lambda: gone.append(1),
        lambda: gone.clear(),
        lambda: gone.name,
        lambda: gone.nbytes,
    ]
    for use in uses:
        with pytest.raises(NotFound, match="gone"):
            use()
    with columns.cache(), pytest.raises(NotFound):
        gone.append(1)
    assert other == [1.5, 2.5]


def test_another_process_may_be_given_an_id_that_a_rollback_took_back(columns: ColumnVault) -> None:
    with columns.transaction(), suppress(ZeroDivisionError), columns.transaction():
        gone = columns.create_column("same", "i64")
        gone.append(1)
        raise ZeroDivisionError
    code = "import sys, kohakuvault as k; k.ColumnVault(sys.argv[1]).create_column('same', 'i64').append(2)"
    subprocess.run([sys.executable, "-c", code, columns.path], check=True)
    with pytest.raises(NotFound):
        len(gone)
    assert columns["same"] == [2]
