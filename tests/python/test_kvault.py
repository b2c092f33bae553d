"""KVault behaves like a dict of bytes: one test per promise."""

from __future__ import annotations

import array
import copy
import gc
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import MutableMapping
from pathlib import Path

import pytest
from kohakuvault import (
    CorruptData,
    InvalidArgument,
    KVault,
    NotFound,
    Problem,
    ReadOnly,
    Vault,
    WrongType,
)

KEY_MAX = 65_535


# ---- keys and values ----


def test_the_quick_start_runs(path: Path) -> None:
    kv = KVault(path)
    kv["cover:001"] = b"\x89PNG..."
    value = kv.get("cover:001")
    assert value is not None
    assert value.startswith(b"\x89PNG")
    kv.close()


def test_it_is_a_mutable_mapping(kv: KVault) -> None:
    assert isinstance(kv, MutableMapping)


@pytest.mark.parametrize("key", ["a", b"a", bytearray(b"a"), memoryview(b"a"), array.array("B", b"a")])
def test_a_key_is_str_or_bytes_like_and_comes_back_as_bytes(kv: KVault, key: str | bytes) -> None:
    kv[key] = b"1"
    assert list(kv) == [b"a"]
    assert kv["a"] == kv[b"a"] == b"1"


def test_str_is_utf_8(kv: KVault) -> None:
    kv["花"] = b"1"
    assert kv["花".encode()] == b"1"


def test_an_empty_key_is_a_key(kv: KVault) -> None:
    kv[""] = b"empty"
    assert kv[b""] == b"empty"
    assert list(kv) == [b""]


def test_a_key_may_have_65535_bytes_and_no_more(kv: KVault) -> None:
    kv[b"k" * KEY_MAX] = b"1"
    assert kv[b"k" * KEY_MAX] == b"1"
    with pytest.raises(InvalidArgument, match=r"65536.*65535"):
        kv[b"k" * (KEY_MAX + 1)] = b"1"


@pytest.mark.parametrize("key", [5, 1.5, None, ("a",), ["a"], object()])
def test_another_type_of_key_is_a_type_error_everywhere(kv: KVault, key: object) -> None:
    bad = key
    calls = [
        lambda: kv[bad],
        lambda: bad in kv,
        lambda: bad in kv.keys(),  # noqa: SIM118
        lambda: kv.get(bad),
        lambda: kv.put(bad, b""),
        lambda: kv.delete(bad),
        lambda: kv.exists(bad),
        lambda: kv.size(bad),
        lambda: kv.pop(bad),
        lambda: kv.pop(bad, None),
        lambda: kv.setdefault(bad, b""),
        lambda: kv.read(bad),
        lambda: kv.open(bad),
        lambda: kv.put_many([(bad, b"")]),
        lambda: kv.get_many([bad]),
        lambda: kv.delete_many([bad]),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=f"not {type(bad).__name__}"):
            call()
    for bounds in ({"start": bad}, {"stop": bad}, {"prefix": bad}):
        if bad is not None:
            with pytest.raises(TypeError):
                kv.keys(**bounds)


@pytest.mark.parametrize(
    "value",
    [b"", b"x", bytearray(b"ab"), memoryview(b"ab"), array.array("I", [1, 2]), memoryview(bytes(range(8)))[2:5]],
)
def test_a_value_is_any_contiguous_buffer(kv: KVault, value: bytes) -> None:
    kv["v"] = value
    assert kv["v"] == bytes(memoryview(value))
    assert type(kv["v"]) is bytes


@pytest.mark.parametrize("value", ["text", 5, None, [1]])
def test_another_type_of_value_is_a_type_error(kv: KVault, value: object) -> None:
    with pytest.raises(WrongType, match=f"a value is bytes-like, not {type(value).__name__}"):
        kv["v"] = value
    assert "v" not in kv


def test_a_numpy_array_is_a_value_and_a_scalar_is_none(kv: KVault) -> None:
    numpy = pytest.importorskip("numpy")
    kv["a"] = numpy.arange(3, dtype="<u2")
    assert kv["a"] == b"\0\0\1\0\2\0"
    with pytest.raises(TypeError, match="not numpy"):
        kv["s"] = numpy.float64(1)
    with pytest.raises(TypeError, match="not numpy"):
        kv[numpy.int64(1)] = b""
    with pytest.raises((ValueError, BufferError)):
        kv["n"] = numpy.zeros((4, 4))[:, ::2]


SIZES = [0, 1, 16_383, 16_384, 16_385, 262_143, 262_144, 262_145, 1 << 20, (1 << 20) + 1, 5_000_000]


def test_values_of_all_sizes_come_back(kv: KVault) -> None:
    for order in (SIZES, SIZES[::-1], [5_000_000, 1, 20_000, 5_000_000]):
        for size in order:
            kv["v"] = bytes([size % 251]) * size
            assert kv["v"] == kv.get("v") == bytes([size % 251]) * size
            assert kv.size("v") == size


# ---- the mapping ----


def test_a_missing_key_is_a_key_error_with_the_key(kv: KVault) -> None:
    with pytest.raises(NotFound) as caught:
        kv["missing"]
    assert isinstance(caught.value, KeyError)
    assert caught.value.key == "missing"
    assert caught.value.args == ("missing",)
    for call in (lambda: kv.__delitem__("m"), lambda: kv.pop("m"), lambda: kv.size("m"), lambda: kv.read("m")):
        with pytest.raises(NotFound, match="there is no key 'm'"):
            call()


def test_get_takes_a_default_both_ways(kv: KVault) -> None:
    kv["a"] = b"1"
    assert kv.get("a", 5) == b"1"
    assert kv.get("m") is None
    assert kv.get("m", 5) == 5
    assert kv.get("m", default=5) == 5
    with pytest.raises(TypeError):
        kv.get("m", other=5)
    with pytest.raises(TypeError):
        kv.get("m", 5, default=6)
    with pytest.raises(TypeError):
        kv.get()


def test_put_delete_exists_size(kv: KVault) -> None:
    kv.put("a", b"123")
    assert kv.exists("a")
    assert kv.size("a") == 3
    assert kv.delete("a") is True
    assert kv.delete("a") is False
    assert not kv.exists("a")


def test_len_counts_and_empty_is_false(kv: KVault) -> None:
    assert len(kv) == 0
    assert not kv
    kv["a"] = b"1"
    kv["a"] = b"2"
    assert len(kv) == 1
    assert kv
    del kv["a"]
    assert len(kv) == 0


def test_pop(kv: KVault) -> None:
    kv["a"] = b"1"
    assert kv.pop("a") == b"1"
    assert kv.pop("a", b"d") == b"d"
    assert kv.pop("a", None) is None
    assert len(kv) == 0


def test_popitem_takes_the_last_key(kv: KVault) -> None:
    kv.update({"a": b"1", "c": b"3", "b": b"2"})
    assert kv.popitem() == (b"c", b"3")
    assert kv.popitem() == (b"b", b"2")
    assert kv.popitem() == (b"a", b"1")
    with pytest.raises(KeyError, match="empty"):
        kv.popitem()


def test_setdefault(kv: KVault) -> None:
    assert kv.setdefault("a", bytearray(b"1")) == b"1"
    assert kv.setdefault("a", b"2") == b"1"
    with pytest.raises(TypeError):
        kv.setdefault("a")


def test_update_takes_what_dict_takes(kv: KVault) -> None:
    kv.update({"a": b"1"}, b=b"2")
    kv.update([("c", b"3")])
    kv.update(iter([("d", b"4")]), e=b"5")
    kv.update(f=b"6")
    kv.update()
    kv |= {"g": b"7"}

    class HasKeys:
        def keys(self) -> list[str]:
            return ["h"]

        def __getitem__(self, key: str) -> bytes:
            return b"8"

    kv.update(HasKeys())
    assert dict(kv) == {bytes([97 + i]): b"%d" % (i + 1) for i in range(8)}


def test_update_with_a_list_is_all_or_nothing(kv: KVault) -> None:
    for pairs in ([("a", b"1"), ("b", 5)], (("a", b"1"), ("b", 5)), {"a": b"1", "b": 5}, [("a", b"1"), ("b",)]):
        with pytest.raises((TypeError, ValueError)):
            kv.update(pairs)
        assert len(kv) == 0


def test_update_with_an_iterator_keeps_the_batches_before_a_failure(kv: KVault) -> None:
    def pairs() -> object:
        for i in range(3000):
            yield f"{i:05}", b"v"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        kv.update(pairs())
    assert len(kv) == 2048
    assert list(kv) == [b"%05d" % i for i in range(2048)]


def test_clear(kv: KVault) -> None:
    kv.update({str(i): b"v" * i for i in range(100)})
    kv["large"] = b"x" * 1_000_000
    kv.clear()
    assert len(kv) == 0
    assert list(kv) == []
    assert kv.verify() == []


def test_equality_with_mappings(kv: KVault, folder: Path) -> None:
    kv.update({"a": b"1", "b": b"2"})
    assert kv == {b"a": b"1", b"b": b"2"}
    assert kv != {b"a": b"1", b"b": b"3"}
    assert kv != {b"a": b"1", b"c": b"2"}
    assert kv != {b"a": b"1"}
    assert kv != [b"a", b"b"]
    with KVault(folder / "other.db") as other:
        assert kv != other
        other.update(kv)
        assert kv == other
        other["b"] = b"3"
        assert kv != other


def test_it_is_unhashable(kv: KVault) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(kv)


def test_repr_names_path_and_table_and_does_not_scan(kv: KVault, path: Path) -> None:
    assert repr(kv) == f"<KVault {str(path)!r} table 'kvault'>"
    kv.close()
    assert repr(kv).endswith("closed>")


# ---- views and scans ----


@pytest.fixture
def letters(kv: KVault) -> KVault:
    kv.put_many((key, key.encode() * 2) for key in ["b", "a", "d", "c", "ab", "ba"])
    return kv


def test_keys_come_in_byte_order(letters: KVault) -> None:
    assert list(letters) == list(letters.keys()) == [b"a", b"ab", b"b", b"ba", b"c", b"d"]
    assert list(reversed(letters)) == [b"d", b"c", b"ba", b"b", b"ab", b"a"]
    assert list(letters.values(limit=2)) == [b"aa", b"abab"]
    assert list(letters.items(limit=1)) == [(b"a", b"aa")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"prefix": "a"}, [b"a", b"ab"]),
        ({"prefix": b"b"}, [b"b", b"ba"]),
        ({"prefix": ""}, [b"a", b"ab", b"b", b"ba", b"c", b"d"]),
        ({"prefix": "x"}, []),
        ({"start": "b"}, [b"b", b"ba", b"c", b"d"]),
        ({"stop": "b"}, [b"a", b"ab"]),
        ({"start": "ab", "stop": "c"}, [b"ab", b"b", b"ba"]),
        ({"start": "c", "stop": "a"}, []),
        ({"prefix": "b", "start": "ba"}, [b"ba"]),
        ({"reverse": True, "limit": 2}, [b"d", b"c"]),
        ({"prefix": "a", "reverse": True}, [b"ab", b"a"]),
        ({"limit": 0}, []),
        ({"limit": 100, "start": "d"}, [b"d"]),
    ],
)
def test_ranges(letters: KVault, options: dict[str, object], expected: list[bytes]) -> None:
    view = letters.keys(**options)
    assert list(view) == expected
    assert list(view) == expected  # each iteration is a scan of its own
    assert len(view) == len(expected)
    assert list(reversed(view)) == expected[::-1]
    for key in [b"a", b"ab", b"b", b"ba", b"c", b"d", b"x"]:
        assert (key in view) == (key in expected)
    assert list(letters.values(**options)) == [key * 2 for key in expected]
    assert list(letters.items(**options)) == [(key, key * 2) for key in expected]


def test_a_prefix_may_end_in_0xff(kv: KVault) -> None:
    keys = [b"\xfe", b"\xfe\xff", b"\xff", b"\xff\x00", b"\xff\xff", b"\xff\xff\xff", b"\xff\xff\xffz"]
    kv.put_many((key, b"") for key in keys)
    for prefix in (b"\xff", b"\xff\xff", b"\xff\xff\xff", b"\xfe\xff"):
        expected = [key for key in keys if key.startswith(prefix)]
        assert list(kv.keys(prefix)) == expected
        assert list(kv.keys(prefix, reverse=True)) == expected[::-1]


def test_a_negative_limit_is_refused(kv: KVault) -> None:
    with pytest.raises(InvalidArgument, match="limit is -1"):
        kv.keys(limit=-1)


def test_views_are_sets(letters: KVault) -> None:
    keys = letters.keys()
    assert keys & {b"a", b"x"} == {b"a"}
    assert keys - {b"a"} == {b"ab", b"b", b"ba", b"c", b"d"}
    assert keys | {b"x"} == {*letters, b"x"}
    assert keys ^ {b"a", b"x"} == {b"ab", b"b", b"ba", b"c", b"d", b"x"}
    assert keys.isdisjoint({b"x"})
    assert keys == set(letters)
    assert letters.keys("a") < keys
    items = letters.items()
    assert (b"a", b"aa") in items
    assert ("a", b"aa") in items
    assert (b"a", b"a") not in items
    assert items & {(b"a", b"aa"), (b"a", b"b")} == {(b"a", b"aa")}
    assert b"aa" in letters.values()
    assert b"a" not in letters.values()


def test_iteration_is_complete_far_above_ten_thousand_keys(kv: KVault) -> None:
    kv.put_many((f"{i:06}", b"") for i in range(25_000))
    assert sum(1 for _ in kv) == len(kv) == 25_000
    assert len(kv.keys("01")) == 10_000


def test_iteration_survives_writes_and_gives_each_lasting_key_once(kv: KVault) -> None:
    lasting = [b"%04d" % i for i in range(0, 2000, 2)]
    kv.put_many((key, b"v") for key in lasting)
    seen = []
    for number, key in enumerate(kv):
        seen.append(key)
        kv[b"%04d" % (number * 2 + 1)] = b"new"
        if number % 3 == 0 and number:
            kv.delete(b"%04d" % (number * 2 - 1))
        kv[key] = b"again"
    assert [key for key in seen if int(key) % 2 == 0] == lasting
    assert len(seen) == len(set(seen))


def test_an_iterator_may_be_left_alone(kv: KVault) -> None:
    kv.put_many((f"{i:04}", b"v") for i in range(1000))
    it = iter(kv)
    next(it)
    kv.close()
    del it
    gc.collect()


# ---- batches ----


def test_put_many_get_many_delete_many(kv: KVault) -> None:
    kv.put_many([("a", b"1"), (b"b", b"2"), ("a", b"3")])
    assert kv.get_many(["a", "m", b"b", "a"]) == [b"3", None, b"2", b"3"]
    assert kv.get_many(("m",), default=b"") == [b""]
    assert kv.get_many([]) == []
    assert kv.delete_many(["a", "a", "m"]) == 1
    assert kv.delete_many([]) == 0
    kv.put_many([])
    assert list(kv) == [b"b"]


def test_a_batch_is_one_transaction(kv: KVault) -> None:
    before = kv.stats()["commits"]
    kv.put_many((str(i), b"v") for i in range(1000))
    assert kv.stats()["commits"] == before + 1
    kv.delete_many(str(i) for i in range(1000))
    assert kv.stats()["commits"] == before + 2


def test_a_batch_collects_before_it_writes(kv: KVault) -> None:
    def pairs() -> object:
        yield "a", b"1"
        kv["inside"] = b"written while the batch is collected"
        yield "b", b"2"
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        kv.put_many(pairs())
    assert list(kv) == [b"inside"]


# ---- options ----


def test_a_missing_folder_is_made(folder: Path) -> None:
    with KVault(folder / "a" / "b" / "c.db") as kv:
        kv["a"] = b"1"
    assert (folder / "a" / "b" / "c.db").exists()


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_a_path_is_text_or_path_like(path: Path, kind: type) -> None:
    with KVault(kind(str(path))) as kv:
        assert kv.path == str(path)


@pytest.mark.parametrize("bad", [5, None, ["a"]])
def test_another_type_of_path_is_a_type_error(bad: object) -> None:
    with pytest.raises(TypeError, match="a path is str"):
        KVault(bad)


@pytest.mark.parametrize("bad", ["", "a\0b"])
def test_a_path_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgument, match="is no path"):
        KVault(bad)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"page_size": 1000}, "page_size is 1000"),
        ({"page_size": -1}, "page_size is -1"),
        ({"page_size": 2**40}, "page_size"),
        ({"cache_kb": 1}, "cache"),
        ({"cache_kb": -1}, "cache"),
        ({"mmap_size": 2**60}, "mmap_size"),
        ({"retries": -1}, "retries is -1"),
        ({"retries": 65}, "retries is 65"),
        ({"retries": 60}, "60 retries from 0.02 s wait"),
        ({"backoff_base": -0.1}, "backoff_base is -0.1"),
        ({"durability": "best"}, "durability is 'best'"),
        ({"chunk_size": 0}, "chunk_size is 0"),
        ({"chunk_size": 2**31}, "chunk_size"),
        ({"table": "a b"}, "a b"),
        ({"table": "sqlite_x"}, "sqlite_x"),
        ({"table": ""}, "table"),
    ],
)
def test_an_option_out_of_range_is_refused_with_its_value(path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        KVault(path, **options)


def test_the_options_at_their_defaults_are_those_of_the_signature(path: Path) -> None:
    defaults = {
        "table": "kvault",
        "chunk_size": 1 << 20,
        "retries": 4,
        "backoff_base": 0.02,
        "enable_wal": True,
        "page_size": 8192,
        "mmap_size": 0,
        "cache_kb": 65536,
        "read_only": False,
        "durability": "normal",
    }
    with KVault(path) as plain, KVault(path, **defaults) as spelled:
        assert (spelled.table, spelled.chunk_size) == (plain.table, plain.chunk_size) == ("kvault", 1 << 20)
        assert spelled.stats()["handles_open"] == 2
        assert spelled.stats()["cache_bytes_max"] == 65536 * 1024


def test_an_option_that_contradicts_the_open_file_is_refused_and_a_default_is_not(path: Path) -> None:
    with KVault(path, durability="full", cache_kb=1024):
        KVault(path).close()
        KVault(path, durability="full").close()
        with pytest.raises(InvalidArgument, match="durability"):
            KVault(path, durability="normal")


def test_tables_are_apart_and_compared_without_case(kv: KVault, path: Path) -> None:
    kv["a"] = b"1"
    with KVault(path, table="Other") as other, KVault(path, table="OTHER") as same:
        other["b"] = b"2"
        assert dict(same) == {b"b": b"2"}
        assert same.table == "Other"
        assert dict(kv) == {b"a": b"1"}


def test_the_tables_of_a_file_are_listed(path: Path) -> None:
    with Vault(path) as vault:
        assert vault.tables() == []
        for name in ("zz", "Other", "kvault"):
            vault.kv(name)
        assert vault.tables() == ["Other", "kvault", "zz"]
    with pytest.raises(ValueError, match="closed"):
        vault.tables()


def test_vaults_and_stores_share_one_engine(path: Path) -> None:
    with Vault(path) as vault:
        kv, other = vault.kv(), vault.kv("other")
        kv["a"] = b"1"
        third = KVault(kv, table="other")
        third["b"] = b"2"
        assert other["b"] == b"2"
        assert kv.vault is vault
        assert third.vault is vault
        with vault.transaction():
            kv["c"] = b"3"
            other["c"] = b"3"
    for ended in (kv, other):
        with pytest.raises(ValueError, match="closed"):
            ended["a"]


def test_a_store_made_from_a_handle_takes_no_options_of_the_file(kv: KVault) -> None:
    with pytest.raises(InvalidArgument, match="page_size"):
        KVault(kv, page_size=4096)


def test_memory(folder: Path) -> None:
    with KVault(":memory:") as kv, KVault(":memory:") as other:
        kv["a"] = b"1"
        assert len(other) == 0
        assert kv.path == ":memory:"
        kv.backup(folder / "copy.db")
    with KVault(folder / "copy.db") as copied:
        assert dict(copied) == {b"a": b"1"}


def test_without_wal(path: Path) -> None:
    with KVault(path, enable_wal=False) as kv:
        kv["a"] = b"1"
        assert not path.with_name("test.db-wal").exists()
    with KVault(path, enable_wal=False) as kv:
        assert kv["a"] == b"1"


def test_read_only_reads_and_makes_nothing(path: Path) -> None:
    with pytest.raises(OSError, match=r"test\.db"):
        KVault(path, read_only=True)
    assert not path.exists()
    with KVault(path) as kv:
        kv["a"] = b"1"
    with KVault(path, read_only=True) as kv:
        assert kv["a"] == b"1"
        assert kv.read_only
        with pytest.raises(ReadOnly, match="read-only"):
            kv["a"] = b"2"
        with pytest.raises(NotFound, match='no table "absent"'):
            KVault(path, table="absent", read_only=True)


def test_read_only_leaves_nothing_behind(path: Path) -> None:
    with KVault(path) as kv:
        kv["a"] = b"1"
    before = path.stat().st_mtime_ns, path.read_bytes()
    with KVault(path, read_only=True) as kv, kv.snapshot() as snapshot:
        assert snapshot["a"] == b"1"
    assert [it.name for it in path.parent.iterdir()] == [path.name]
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_read_only_leaves_the_log_to_those_who_write(path: Path, folder: Path) -> None:
    script = "import sys, kohakuvault; kv = kohakuvault.KVault(sys.argv[1])"
    script += "; kv['a'] = b'1'; print(); input(); kv['a'] = b'2'"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "\n"
        with KVault(path, read_only=True) as kv:
            assert kv["a"] == b"1"
        left = folder / "left"
        left.mkdir()
        for name in (path.name, f"{path.name}-wal"):  # as a crash would leave them
            shutil.copy(path.with_name(name), left)
        writer.communicate("\n", timeout=60)
    with KVault(path) as kv:
        assert kv["a"] == b"2"
    log = (left / f"{path.name}-wal").read_bytes()
    assert log
    with KVault(left / path.name, read_only=True) as kv:
        assert kv["a"] == b"1"
    assert (left / f"{path.name}-wal").read_bytes() == log


def test_a_file_of_another_kind_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(CorruptData):
        KVault(path)
    assert path.read_bytes() == b"not a database at all" * 1000


def test_a_plain_table_of_another_program_is_used_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table kv (key blob primary key, value blob)")
        db.execute("insert into kv values (x'61', x'31')")
    db.close()
    with KVault(path) as kv:
        assert kv.table == "kv"
        assert dict(kv) == {b"a": b"1"}
        kv["b"] = b"2"
    with sqlite3.connect(path) as db:
        assert db.execute("select count(*) from kv").fetchone() == (2,)
    db.close()


def test_a_file_of_another_program_has_no_columns_until_one_is_made(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table kv (key blob primary key, value blob)")
    db.close()
    with Vault(path) as vault:
        columns = vault.columns()
        assert columns.list_columns() == []
        assert "a" not in columns
        assert not columns.delete_column("a")
        assert vault.verify() == []
        with pytest.raises(NotFound, match="no column 'a'"):
            columns["a"]
        with sqlite3.connect(path) as db:
            assert db.execute("select count(*) from sqlite_master where name like 'col%'").fetchone() == (0,)
        db.close()
        columns.create_column("a", "i64").append(1)
    with Vault(path) as vault:
        assert list(vault.columns()["a"]) == [1]
        assert vault.verify() == []


@pytest.mark.parametrize(
    "table", ["col_meta (col_id integer primary key, name text)", "kvault_col_columns (name text)"]
)
def test_columns_of_the_older_implementation_are_refused_with_the_way_out(path: Path, table: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table kv (key blob primary key, value blob)")
        db.execute(f"create table {table}")
    db.close()
    with Vault(path) as vault:
        columns = vault.columns()
        for call in (columns.list_columns, lambda: columns["a"], lambda: columns.create_column("a", "i64")):
            with pytest.raises(InvalidArgument, match="`kohakuvault migrate` makes a new file"):
                call()
        assert vault.verify() == []
        vault.kv()["a"] = b"1"
        assert vault.tables() == ["kv"]


def test_a_table_whose_keys_are_no_bytes_is_refused_and_not_listed(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table words (key text primary key, value text)")
        db.execute("create table plain (key, value blob)")
    db.close()
    with Vault(path) as vault:
        assert vault.tables() == ["plain"]
        with pytest.raises(InvalidArgument, match="its columns are key TEXT,value TEXT, want"):
            vault.kv("words")


# ---- the whole file ----


def test_close_ends_the_handle_and_may_be_repeated(path: Path) -> None:
    kv = KVault(path)
    kv["a"] = b"1"
    kv.close()
    kv.close()
    assert kv.closed
    for call in (lambda: kv["a"], lambda: len(kv), lambda: list(kv), lambda: kv.put("a", b""), lambda: kv.open("a")):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_the_with_block_closes(path: Path) -> None:
    with KVault(path) as kv:
        kv["a"] = b"1"
    assert kv.closed


def test_what_is_closed_is_there_when_opened_again(path: Path) -> None:
    for turn in range(3):
        with KVault(path) as kv:
            kv[str(turn)] = b"v"
            assert len(kv) == turn + 1


def test_snapshot_sees_one_instant_and_is_read_only(kv: KVault) -> None:
    kv["a"] = b"1"
    with kv.snapshot() as seen:
        assert type(seen) is KVault
        kv["a"] = b"2"
        kv["b"] = b"3"
        assert dict(seen) == {b"a": b"1"}
        assert len(seen) == 1
        with pytest.raises(ReadOnly, match="snapshot"):
            seen["a"] = b"4"
    with pytest.raises(ValueError, match="closed"):
        seen["a"]
    assert kv["a"] == b"2"


def test_backup_is_a_whole_file(kv: KVault, folder: Path) -> None:
    kv.put_many((str(i), os.urandom(1000)) for i in range(1000))
    told: list[tuple[int, int]] = []
    kv.backup(folder / "copy.db", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0
    with KVault(folder / "copy.db") as copied:
        assert copied == kv
        assert copied.verify() == []


def test_a_backup_that_is_stopped_leaves_the_destination(kv: KVault, folder: Path) -> None:
    kv["a"] = b"1"
    (folder / "copy.db").write_bytes(b"precious")

    def stop(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        kv.backup(folder / "copy.db", progress=stop)
    assert (folder / "copy.db").read_bytes() == b"precious"
    assert sorted(entry.name for entry in folder.iterdir() if "copy" in entry.name) == ["copy.db"]


def test_a_backup_onto_an_open_file_is_refused(kv: KVault, path: Path) -> None:
    with pytest.raises(InvalidArgument, match="open"):
        kv.backup(path)


def test_a_backup_onto_a_file_with_a_log_is_refused(kv: KVault, folder: Path) -> None:
    dest = folder / "copy.db"
    dest.write_bytes(b"precious")
    (folder / "copy.db-wal").write_bytes(b"its log")
    with pytest.raises(InvalidArgument, match=r"copy\.db.*has a WAL"):
        kv.backup(dest)
    assert dest.read_bytes() == b"precious"


def test_a_backup_replaces_and_may_go_to_a_new_place(kv: KVault, folder: Path) -> None:
    kv["a"] = b"1"
    kv.backup(folder / "copy.db")
    kv["a"] = b"2"
    kv.backup(str(folder / "copy.db"))
    with KVault(folder / "copy.db") as copied:
        assert copied["a"] == b"2"
    with pytest.raises(OSError, match="nowhere"):
        kv.backup(folder / "nowhere" / "copy.db")


def test_verify_names_what_is_damaged(path: Path) -> None:
    with KVault(path) as kv:
        kv["large"] = b"\x5a" * 3_000_000
        assert kv.verify() == []
    data = bytearray(path.read_bytes())
    at = data.index(b"\x5a" * 2000) + 1000
    data[at] ^= 1
    path.write_bytes(data)
    with KVault(path) as kv:
        problems = kv.verify()
        assert problems
        assert isinstance(problems[0], Problem)
        where, what = problems[0]
        assert (problems[0].where, problems[0].what) == (where, what)
        with pytest.raises(CorruptData):
            kv["large"]


def test_stats_are_numbers(kv: KVault) -> None:
    kv["a"] = b"1"
    stats = kv.stats()
    assert stats["page_size"] == 8192
    assert stats["commits"] >= 1
    assert stats["pending_entries"] == 0
    assert stats["handles_open"] == 1


def test_checkpoint_and_optimize(kv: KVault) -> None:
    kv["a"] = b"x" * 100_000
    before = kv.stats()
    kv.checkpoint()
    kv.optimize()
    after = kv.stats()
    assert after["checkpoints"] == before["checkpoints"] + 1
    assert after["file_bytes"] > before["file_bytes"]


def test_pickling_keeps_path_table_and_options(path: Path) -> None:
    with KVault(path, table="t", chunk_size=4096, durability="full") as kv:
        kv.enable_cache()
        kv["a"] = b"1"
        for again in (pickle.loads(pickle.dumps(kv)), copy.copy(kv)):
            with again:
                assert again.table == "t"
                assert again.chunk_size == 4096
                assert again["a"] == b"1"
                assert kv.stats()["pending_entries"] == 0
        with pickle.loads(pickle.dumps(kv.vault)) as vault:
            assert vault.path == str(path)


def test_memory_snapshots_and_transactions_refuse_to_be_pickled(kv: KVault) -> None:
    with KVault(":memory:") as memory, pytest.raises(TypeError, match="memory"):
        pickle.dumps(memory)
    with kv.snapshot() as seen, pytest.raises(TypeError, match="snapshot"):
        pickle.dumps(seen)
    with kv.transaction(), pytest.raises(TypeError, match="transaction"):
        pickle.dumps(kv)
    with pytest.raises(TypeError):
        pickle.dumps(kv.transaction())


def test_a_handle_dropped_with_pending_writes_warns_and_loses_nothing(path: Path) -> None:
    kv = KVault(path)
    kv.enable_cache()
    kv["a"] = b"1"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del kv
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert "was not closed" in str(caught[0].message)
    with KVault(path) as again:
        assert again["a"] == b"1"


def test_a_handle_dropped_with_nothing_pending_is_silent(path: Path) -> None:
    kv = KVault(path)
    kv["a"] = b"1"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del kv
        gc.collect()


def test_a_subclass_keeps_its_class_and_attributes(path: Path) -> None:
    class Mine(KVault):
        def twice(self, key: str) -> bytes:
            return self[key] * 2

    with Mine(path) as kv:
        kv["a"] = b"1"
        assert kv.twice("a") == b"11"
        kv.loop = kv
        with kv.snapshot() as seen:
            assert seen.twice("a") == b"11"
    del kv, seen
    gc.collect()


def test_the_older_implementations_module_has_the_name_it_had() -> None:
    from kohakuvault import proxy

    assert proxy.KVault is KVault


def test_importing_is_light() -> None:
    script = """
import sys
before = set(sys.modules)
import kohakuvault
print(*{"numpy", "typing", "logging", "sqlite3", "threading", "multiprocessing"} & (set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_the_length_of_a_range_is_exact_however_many_pages_it_has(kv: KVault, count: int) -> None:
    kv["a"] = kv["c"] = b""
    kv.put_many((f"b{number:04}", b"v") for number in range(count))
    view = kv.keys("b")
    assert len(view) == len(list(view)) == len(view) == count
    iterator = iter(view)
    assert next(iterator, None) == (b"b0000" if count else None)
    assert len(view) == count
    assert len(kv.items("b", limit=2)) == min(count, 2)
    with kv.cache():
        kv["b"] = b"pending"
        kv.delete("b0000")
        assert len(view) == len(list(view)) == count + (count == 0)


def test_a_list_of_a_short_range_is_read_once(kv: KVault) -> None:
    """What is written between making the iterator and asking for the length is in both, or in neither."""
    kv["b1"] = b""
    view = kv.keys("b")
    iterator = iter(view)
    kv["b2"] = b""
    assert len(view) == 2
    kv["b3"] = b""
    assert list(iterator) == [b"b1", b"b2"]
    assert len(view) == 3


def test_arguments_may_be_named(kv: KVault) -> None:
    kv.put(key="k", value=b"v")
    assert kv.get(key="k", default=None) == b"v"
    assert kv.setdefault(key="k", default=b"w") == b"v"
    assert kv.pop(key="k", default=b"d") == b"v"
    assert kv.pop("k", default=b"d") == b"d"
    with pytest.raises(TypeError, match="unexpected keyword argument 'vlaue'"):
        kv.put("k", vlaue=b"v")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="multiple values for argument 'key'"):
        kv.get("k", key="k")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="misses its argument 'value'"):
        kv.put("k")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="at most 2 arguments, got 3"):
        kv.get("k", None, None)  # type: ignore[call-overload]
