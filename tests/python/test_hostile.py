"""Arguments and callbacks of bad will, or bad luck: an error with words, no crash, nothing half done."""

from __future__ import annotations

import io
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kohakuvault import (
    ClosedHandle,
    ColumnVault,
    CSBTree,
    DatabaseBusy,
    InvalidArgument,
    KohakuVaultError,
    KVault,
    NotFound,
    Vault,
)

HUGE = 1 << 70


# ---- numbers and names ----


def test_numbers_that_fit_nowhere_are_refused(kv: KVault) -> None:
    kv["a"] = b"123"
    calls: list[Callable[[], object]] = [
        lambda: kv.read("a", HUGE),
        lambda: kv.read("a", -HUGE),
        lambda: kv.read("a", 0, -2),
        lambda: kv.read("a", 0, -HUGE),
        lambda: list(kv.keys(limit=-HUGE)),
        lambda: kv.enable_cache(cap_bytes=HUGE),
        lambda: kv.enable_cache(cap_bytes=1 << 63),
        lambda: kv.put_file("b", b"1", size=-HUGE),
        lambda: kv.put_file("b", io.BytesIO(), size=(1 << 40) + 1),
        lambda: kv.put_file("b", b"1", chunk_size=HUGE),
        lambda: kv.get_to_file("a", io.BytesIO(), chunk_size=0),
        lambda: KVault(kv.path, cache_kb=HUGE),
        lambda: KVault(kv.path, page_size=HUGE),
        lambda: KVault(kv.path, mmap_size=-HUGE),
        lambda: KVault(kv.path, retries=HUGE),
        lambda: KVault(kv.path, backoff_base=float("nan")),
        lambda: KVault(kv.path, backoff_base=float("inf")),
        lambda: kv.open("a").seek(-HUGE),
        lambda: kv.open("a").seek(0, HUGE),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(InvalidArgument) as caught:
            call()
        assert any(letter.isdigit() for letter in str(caught.value)) or "nan" in str(caught.value), number
    assert dict(kv) == {b"a": b"123"}


def test_numbers_of_another_type_are_type_errors(kv: KVault) -> None:
    kv["a"] = b"123"
    calls: list[Callable[[], object]] = [
        lambda: kv.read("a", "0"),
        lambda: kv.read("a", 0.5),
        lambda: kv.keys(limit="5"),
        lambda: list(kv.keys(limit=1.5)),
        lambda: kv.enable_cache(cap_bytes="1"),
        lambda: kv.put_file("b", b"1", size="1"),
        lambda: KVault(kv.path, cache_kb="1"),
        lambda: KVault(kv.path, page_size=4096.0),
        lambda: KVault(kv.path, retries="4"),
        lambda: KVault(kv.path, chunk_size="4"),
        lambda: KVault(kv.path, table=5),
        lambda: KVault(kv.path, unknown=1),
        lambda: kv.open("a").seek("0"),
        lambda: kv.backup(5),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(TypeError):
            print(number, call())
    assert dict(kv) == {b"a": b"123"}


def test_a_range_behind_the_end_is_empty(kv: KVault) -> None:
    kv["a"] = b"123"
    assert kv.read("a", 3) == kv.read("a", 1 << 62) == kv.read("a", 1, 0) == b""
    assert kv.read("a", 1, 1 << 62) == b"23"
    assert list(kv.keys(limit=1 << 62)) == [b"a"]


@pytest.mark.parametrize("key", ["\ud800", "a\udfffb"])
def test_text_that_is_not_unicode_is_a_value_error(kv: KVault, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: kv[key],
        lambda: key in kv,
        lambda: kv.put(key, b""),
        lambda: kv.get_many([key]),
        lambda: kv.keys(key),
        lambda: kv.open(key, "wb"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="surrogates"):
            call()
    assert len(kv) == 0


def test_keys_that_look_like_sql_or_paths_are_keys(kv: KVault) -> None:
    keys = [
        "'; drop table kvault; --",
        '"',
        "\0",
        "a\0b",
        "../../etc/passwd",
        "%s%n",
        "k" * 65_535,
        "\x7f",
        "\U0010ffff",
    ]
    for key in keys:
        kv[key] = key.encode()
    assert dict(kv) == {key.encode(): key.encode() for key in keys}
    assert list(kv) == sorted(key.encode() for key in keys)
    with pytest.raises(NotFound, match="passwd"):
        kv["/etc/passwd\0"]


@pytest.mark.parametrize(
    "table",
    [
        "a;b",
        'a"b',
        "a b",
        "a-b",
        "1a",
        "é",
        "a\0",
        "x" * 64,
        "sqlite_master",
        "kv_pieces",
        "KV_BLOBS",
        "col_meta",
        "kv_format",
    ],
)
def test_a_table_that_is_no_name_or_is_ours_is_refused(path: Path, table: str) -> None:
    with pytest.raises(InvalidArgument, match="table"):
        KVault(path, table=table)


def test_the_longest_table_name_and_odd_ones_work(path: Path) -> None:
    for table in ("x" * 63, "_", "Select", "a1_", "table"):
        with KVault(path, table=table) as kv:
            kv["a"] = table.encode()
            assert kv.table == table
    with KVault(path) as kv:
        assert len(kv) == 0
        assert kv.verify() == []


# ---- what calls back ----


def test_iterables_may_use_the_vault(kv: KVault) -> None:
    def keys() -> Iterator[str]:
        for key in "abc":
            kv[key] = b"1"
            yield key

    def pairs() -> Iterator[tuple[str, bytes]]:
        for key in keys():
            yield key, kv.pop(key)

    assert kv.get_many(keys()) == [b"1"] * 3
    kv.put_many(pairs())
    assert len(kv) == 3
    assert kv.delete_many(keys()) == 3
    kv.update(pairs())
    kv.update(kv)
    kv.update(kv.items())
    kv |= kv
    assert dict(kv) == {b"a": b"1", b"b": b"1", b"c": b"1"}


def test_a_vault_cleared_while_it_is_read_ends_the_iteration(kv: KVault) -> None:
    kv.put_many((f"{i:05}", b"v") for i in range(5000))
    seen = 0
    for _ in kv.items():
        seen += 1
        kv.clear()
    assert 1 <= seen < 5000


class Meddler(io.RawIOBase):
    """A reader that does something to the vault while it is read."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle
        self.left = 20

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        if self.left == 10:
            self.meddle()
        return bytes(max(size, 1)) if self.left > 0 else b""


@pytest.mark.parametrize("old", [None, b"small", bytes(1_000_000)])
def test_a_reader_may_change_the_key_that_it_is_stored_under(kv: KVault, old: bytes | None) -> None:
    meddles: list[Callable[[], object]] = [
        lambda: kv.put("a", b"meanwhile"),
        lambda: kv.delete("a"),
        lambda: kv.clear(),
        lambda: kv.put_file("a", bytes(2_000_000)),
        lambda: kv.verify(),
    ]
    for meddle in meddles:
        if old is not None:
            kv["a"] = old
        size = kv.put_file("a", Meddler(meddle))
        assert kv.size("a") == size
        assert kv.verify() == []


def test_a_reader_may_close_the_vault(path: Path) -> None:
    kv = KVault(path)
    kv["a"] = b"old"
    with pytest.raises(ClosedHandle):
        kv.put_file("a", Meddler(kv.close))
    with KVault(path) as again:
        assert again["a"] == b"old"
        assert again.verify() == []


def test_a_writer_may_change_what_it_is_given(kv: KVault) -> None:
    class Sink:
        def __init__(self) -> None:
            self.got = b""

        def write(self, data: memoryview) -> int:
            kv["a"] = b"changed"
            self.got += bytes(data[:1000])
            return min(len(data), 1000)

    kv["a"] = data = os.urandom(1_500_000)
    sink = Sink()
    assert kv.get_to_file("a", sink) == len(data)
    assert sink.got == data


def test_progress_may_write_and_the_copy_is_one_instant(kv: KVault, folder: Path) -> None:
    kv.put_many((f"{i:04}", bytes(5000)) for i in range(1000))
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        told += 1
        kv[f"new{told}"] = bytes(1000)
        assert 0 <= done <= total

    kv.backup(folder / "copy.db", progress=progress)
    assert told > 1
    with KVault(folder / "copy.db") as copied:
        assert len(copied) == 1000
        assert copied.verify() == []


# ---- streams ----


def test_a_stream_refuses_what_it_cannot_do(kv: KVault) -> None:
    kv["a"] = b"123"
    for mode in ("", "r", "w+", "rb+", "x", "wt", 5, None):
        with pytest.raises((InvalidArgument, TypeError)):
            kv.open("a", mode)
    with kv.open("a") as reading, kv.open("b", "wb") as writing:
        for call in (
            lambda: reading.write(b"x"),
            lambda: writing.read(1),
            lambda: writing.readinto(bytearray(1)),
            lambda: writing.seek(0),
            lambda: reading.truncate(1),
            lambda: reading.fileno(),
        ):
            with pytest.raises(OSError):  # noqa: PT011 - io.UnsupportedOperation has no words of its own
                call()
        for bad in (5, "text", None):
            with pytest.raises(TypeError):
                writing.write(bad)
        with pytest.raises((TypeError, BufferError)):
            reading.readinto(b"read only")
        writing.write(b"ok")
    assert kv["b"] == b"ok"


def test_a_stream_after_its_vault_is_closed(path: Path) -> None:
    kv = KVault(path)
    kv["a"] = bytes(1_000_000)
    reading, writing = kv.open("a"), kv.open("b", "wb")
    writing.write(bytes(1_000_000))
    kv.close()
    with pytest.raises(ClosedHandle):
        reading.read(1)
    with pytest.raises(ClosedHandle):
        writing.write(b"x")
    with pytest.raises(ClosedHandle):
        writing.close()
    writing.abort()
    with KVault(path) as again:
        assert list(again) == [b"a"]
        assert again.verify() == []


def test_a_value_deleted_under_an_appender_stays_deleted(kv: KVault) -> None:
    kv["a"] = bytes(1_000_000)
    stream = kv.open("a", "ab")
    stream.write(b"more")
    del kv["a"]
    with pytest.raises(KohakuVaultError, match="a"):
        stream.close()
    stream.abort()
    assert "a" not in kv
    assert kv.verify() == []


# ---- many threads ----


def in_threads(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait()
            work(number)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []


def test_setdefault_and_pop_are_atomic(kv: KVault) -> None:
    got: list[list[bytes]] = [[] for _ in range(4)]
    popped: list[list[bytes]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        for i in range(100):
            got[number].append(kv.setdefault(f"s{i}", b"%d" % number))
        for i in range(100):
            if (value := kv.pop(f"s{i}", None)) is not None:
                popped[number].append(value)

    in_threads(4, work)
    # A key may be popped and set again by a slower thread, so there are at least 100.
    assert all(len(values) == 100 for values in got)
    assert 100 <= sum(map(len, popped)) + len(kv) <= 400
    kv.clear()

    def only_set(number: int) -> None:
        got[number] = [kv.setdefault(f"s{i}", b"%d" % number) for i in range(200)]

    in_threads(4, only_set)
    assert got[0] == got[1] == got[2] == got[3]


# ---- the cache ----


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def told_busy(kv: KVault) -> bool:
    try:
        kv["b"] = b"2"
    except DatabaseBusy:
        return True
    return False


def test_a_failed_flush_in_the_background_is_told_to_the_next_call(path: Path) -> None:
    with KVault(path, retries=1, backoff_base=0.02) as kv:
        kv.enable_cache(flush_interval=0.02)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        kv["a"] = b"1"
        wait_until(lambda: told_busy(kv))
        assert kv["a"] == b"1"
        other.execute("rollback")
        other.close()
        kv["c"] = b"3"
        kv.flush_cache()
        assert kv.flush_cache() == 0
        assert {b"a", b"c"} <= set(kv)


def test_a_batch_under_the_cache_is_all_or_nothing(kv: KVault) -> None:
    with kv.cache():
        with pytest.raises(TypeError):
            kv.put_many([("a", b"1"), ("b", 5)])
        with pytest.raises(InvalidArgument):
            kv.put_many([("a", b"1"), ("k" * 70_000, b"")])
        assert len(kv) == 0
        before = kv.stats()["commits"]
        kv.put_many((f"{i}", b"v") for i in range(500))
        assert kv.delete_many(["1", "2", "missing"]) == 2
        assert kv.stats()["commits"] == before
        assert len(kv) == 498
    assert kv.stats()["commits"] == before + 1


# ---- what is told ----


def test_a_pinned_wal_is_told_once_by_logging(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with KVault(path) as kv, caplog.at_level(logging.WARNING, "kohakuvault"):
        kv["a"] = b"1"
        with kv.snapshot() as seen:
            for i in range(80):
                kv["large"] = bytes([i]) * (1 << 20)
            assert kv.stats()["wal_pinned"] is True
            assert seen["a"] == b"1"
        assert kv.stats()["wal_bytes"] > 64 << 20
        words = [record.getMessage() for record in caplog.records if record.name == "kohakuvault"]
        assert words
        assert "test.db" in words[0]
        assert "snapshot" in words[0]


def test_a_file_that_cannot_be_opened_names_itself_and_the_reason(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(OSError, match="file") as caught:
        KVault(folder / "file" / "x.db")
    assert isinstance(caught.value, KohakuVaultError)
    assert isinstance(caught.value.__cause__, FileExistsError)
    assert caught.value.errno == caught.value.__cause__.errno


# ---- the end ----

ENDINGS = {
    "iterator": "it = iter(kv.items()); next(it)",
    "stream": "s = kv.open('s', 'wb'); s.write(bytes(20_000_000))",
    "transaction": "t = kv.transaction(); t.__enter__(); kv['t'] = b'1'",
    "snapshot": "s = kv.snapshot(); s['0']",
    "cached": "kv.enable_cache(); kv['cached'] = b'1'",
    "locked cache": "l = kv.lock_cache(); l.__enter__(); kv['cached'] = b'1'",
    "exit": "kv.enable_cache(); kv['cached'] = b'1'; sys.exit(3)",
    "exception": "kv.enable_cache(); kv['cached'] = b'1'; 1 / 0",
    "thread": "import threading; kv.enable_cache(); threading.Thread(target=kv.put, args=('cached', b'1')).start()",
    "module": "import builtins; builtins.kept = kv; kv.enable_cache(); kv['cached'] = b'1'",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_may_end_at_any_moment(path: Path, ending: str) -> None:
    with KVault(path) as kv:
        kv.put_many((f"{i}", b"v" * 100) for i in range(3000))
    script = f"import sys; from kohakuvault import KVault; kv = KVault(sys.argv[1]); {ENDINGS[ending]}"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == {"exit": 3, "exception": 1}.get(ending, 0), done.stderr
    assert "Fatal" not in done.stderr
    with KVault(path) as kv:
        assert kv.verify() == []
        assert "s" not in kv
        assert "t" not in kv
        assert ("cached" in kv) == ("cached" in ENDINGS[ending])


def test_vaults_made_and_dropped_in_a_cycle_are_collected(path: Path) -> None:
    import gc

    for _ in range(5):
        vault = Vault(path)
        kv = vault.kv()
        kv["a"] = b"1"
        kv.me = kv
        kv.views = [kv.items(), iter(kv), vault]
        with suppress(KohakuVaultError):
            kv.transaction().__enter__()
            kv["a"] = b"2"
        del vault, kv
        gc.collect()
    with KVault(path) as again:
        assert again["a"] == b"1"


# ---- memory that changes while it is stored ----


def test_memory_that_changes_during_a_put_is_no_damage(kv: KVault) -> None:
    """The put waits for the lock, and the value changes meanwhile: what is stored has its own checksum."""
    key, value = bytearray(b"key"), bytearray(b"1" * 1000)
    kv["warm"] = b""
    with kv.transaction():
        threads = [
            threading.Thread(target=kv.put, args=(key, value)),
            threading.Thread(target=kv.put_many, args=([(memoryview(key), memoryview(value).toreadonly())],)),
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        key[:], value[:] = b"yek", b"2" * 1000
    for thread in threads:
        thread.join()
    assert kv.verify() == []
    assert all(len(stored) == 1000 for stored in kv.get_many([b"key"]))


def test_memory_that_changes_while_its_pieces_are_stored_is_no_damage(kv: KVault) -> None:
    value, stop = bytearray(3 << 20), threading.Event()

    def change() -> None:
        fill = [bytes([i]) * len(value) for i in range(2)]
        while not stop.is_set():
            value[:], value[:] = fill

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(60):
            kv["a"] = value
            assert len(kv["a"]) == len(value)
    finally:
        stop.set()
        thread.join()


# ---- backups ----


def test_two_backups_to_one_place_at_the_same_time_are_both_whole(kv: KVault, folder: Path) -> None:
    kv.put_many([(str(i), bytes(5000)) for i in range(2000)])
    calls = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 1:
            kv.backup(folder / "copy")

    kv.backup(folder / "copy", progress=progress)
    assert sorted(path.name for path in folder.iterdir() if "copy" in path.name) == ["copy"]
    with KVault(folder / "copy") as copy:
        assert len(copy) == 2000
        assert copy.verify() == []


def test_a_backup_replaces_nothing_but_a_file(kv: KVault, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "null").symlink_to(os.devnull)
    for name in ("pipe", "null", "."):
        with pytest.raises(InvalidArgument, match="no regular file"):
            kv.backup(folder / name)
    assert not (folder / "pipe").is_file()


def test_a_snapshot_in_use_is_an_error_inside_its_own_callback(kv: KVault, folder: Path) -> None:
    kv.put_many([(str(i), bytes(5000)) for i in range(2000)])
    seen = []

    def progress(done: int, total: int) -> None:
        for use in (snapshot.close, lambda: snapshot["5"], lambda: list(snapshot)):
            with pytest.raises(RuntimeError, match="from inside another call on the same snapshot"):
                use()
        seen.append(kv["5"])

    with kv.snapshot() as snapshot:
        snapshot.backup(folder / "copy", progress=progress)
        assert snapshot["5"] == bytes(5000)
    assert seen


# ---- values that offer memory that is no value ----


def test_neither_a_scalar_nor_objects_of_numpy_are_bytes(kv: KVault) -> None:
    numpy = pytest.importorskip("numpy")
    for value in (numpy.float64(3), numpy.void(b"ab"), numpy.zeros(3, dtype=object)):
        calls: list[Callable[[], object]] = [
            lambda value=value: kv.put("a", value),  # type: ignore[misc]
            lambda value=value: kv.put_many([("a", value)]),  # type: ignore[misc]
            lambda value=value: kv.put_file("a", value),  # type: ignore[misc]
            lambda value=value: kv.open("a", "wb").write(value),  # type: ignore[misc]
        ]
        for call in calls:
            with pytest.raises(TypeError, match="a value is bytes-like, not numpy"):
                call()
    with pytest.raises(TypeError, match="a key is str or bytes-like, not numpy"):
        kv.keys(prefix=numpy.int64(5))
    assert dict(kv) == {}


def test_the_words_name_what_was_wrong_with_a_column(path: Path) -> None:
    with ColumnVault(path) as columns:
        column = columns.ensure("a", "i64")
        for use in (columns.__getitem__, columns.__contains__, columns.delete_column):
            with pytest.raises(TypeError, match="a column name is str, not int"):
                use(5)
        with pytest.raises(TypeError, match="a column name is str, not bytes"):
            columns.rename_column("a", b"b")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a dtype is str, not type"):
            columns.create_column("b", int)  # type: ignore[arg-type]
        for index in (HUGE, -HUGE, 5, -1):
            with pytest.raises(IndexError, match="out of range"):
                column[index]
            with pytest.raises(IndexError, match="out of range"):
                column.take([index])
        assert list(columns) == ["a"]


def test_minus_one_of_any_type_reads_to_the_end(kv: KVault) -> None:
    numpy = pytest.importorskip("numpy")
    kv["a"] = b"12345"
    assert kv.read("a", numpy.int64(2), numpy.int64(-1)) == b"345"
    with pytest.raises(InvalidArgument, match="length is -2"):
        kv.read("a", 0, numpy.int64(-2))
    with pytest.raises(TypeError):
        kv.read("a", 0, -1.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=f"order is {HUGE}, want 3 to 4096"):
        CSBTree(HUGE)


def test_without_a_wal_a_commit_that_a_snapshot_holds_off_says_so(path: Path) -> None:
    with KVault(path, enable_wal=False, retries=1, backoff_base=0.1) as kv:
        kv["a"] = b"1"
        with kv.snapshot() as snapshot:
            assert snapshot["a"] == b"1"
            with pytest.raises(DatabaseBusy, match="or a snapshot of this one"):
                kv["a"] = b"2"
        kv["a"] = b"2"
        assert kv["a"] == b"2"


def test_a_finalizer_that_uses_its_iterator_again_is_an_error(path: Path) -> None:
    """What was read ahead goes at the next read after a write; each of its values asks the iterator for more."""
    raised: list[type[BaseException]] = []

    class Value:
        def __init__(self, text: bytes) -> None:
            self.text = text

        def __del__(self) -> None:
            try:
                next(iterator)
            except RuntimeError as exc:
                raised.append(type(exc))

    with ColumnVault(path) as columns:
        column = columns.create_column("a", "mine", pack=lambda value: b"x", unpack=Value)
        column.extend(range(100))
        iterator = iter(column)
        kept = [next(iterator) for _ in range(10)]
        column.append(1)
        kept.append(next(iterator))
        assert raised
        assert set(raised) == {RuntimeError}
        kept.extend(iterator)
        assert len(kept) == 101
        Value.__del__ = lambda self: None  # type: ignore[method-assign]
