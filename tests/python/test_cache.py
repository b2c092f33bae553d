"""The write cache: pending writes are seen by every read and lost by nothing but a crash."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from kohakuvault import DatabaseBusy, InvalidArgument, KohakuVaultError, KVault, Vault


def stored(path: Path) -> int:
    """How many keys another program finds in the file."""
    db = sqlite3.connect(path)
    (count,) = db.execute("select count(*) from kvault").fetchone()
    db.close()
    return int(count)


def pending(kv: KVault) -> int:
    return kv.stats()["pending_entries"]


def test_every_read_sees_pending_writes(kv: KVault, path: Path) -> None:
    kv.update({"a": b"1", "b": b"2", "c": b"3"})
    kv.enable_cache()
    kv["b"] = b"new"
    kv["d"] = b"4"
    del kv["a"]
    assert stored(path) == 3
    assert pending(kv) == 3
    expected = {b"b": b"new", b"c": b"3", b"d": b"4"}
    with KVault(path) as other:
        for one in (kv, other):
            assert dict(one) == expected
            assert len(one) == 3
            assert list(one) == sorted(expected)
            assert list(one.items(reverse=True)) == sorted(expected.items(), reverse=True)
            assert "a" not in one
            assert one.get("a") is None
            assert one["d"] == b"4"
            assert one.size("b") == 3
            assert one.read("b", 1) == b"ew"
            assert one.get_many(["a", "b"]) == [None, b"new"]
            with one.open("b") as stream:
                assert stream.read() == b"new"
    with pytest.raises(KeyError):
        del kv["a"]


def test_len_counts_pending_writes_that_are_new_and_those_that_are_not(kv: KVault) -> None:
    model = {b"%05d" % i: b"v" for i in range(0, 3000, 2)}
    kv.update(model)
    kv.enable_cache()
    for turn in range(4):
        # More than one batch of look-ups, among them known keys and tombstones, in both directions.
        for i in range(turn * 500, 2000)[:: 1 if turn % 2 else -1]:
            key = b"%05d" % i
            if i % 7 == turn:
                assert kv.delete(key) == (model.pop(key, None) is not None)
            else:
                kv[key] = model[key] = b"%d" % turn
            if i % 501 == 0:
                assert len(kv) == len(model)
        assert len(kv) == len(model)
        assert list(kv) == sorted(model)
        kv[b"%d" % turn] = model[b"%d" % turn] = b"one more"
        assert len(kv) == len(model)
    kv.flush_cache()
    assert len(kv) == len(model)


def test_flush_cache_counts_entries_and_commits_once(kv: KVault, path: Path) -> None:
    kv.enable_cache()
    for i in range(10):
        kv[str(i)] = b"v"
    kv["0"] = b"again"
    before = kv.stats()["commits"]
    assert kv.flush_cache() == 10
    assert kv.stats()["commits"] == before + 1
    assert kv.flush_cache() == 0
    assert stored(path) == 10


def test_the_threshold_flushes_everything(kv: KVault, path: Path) -> None:
    kv.enable_cache(cap_bytes=100_000, flush_threshold=10_000)
    for i in range(9):
        kv[str(i)] = bytes(1000)
    assert stored(path) == 0
    kv["last"] = bytes(2000)
    assert stored(path) == 10
    assert pending(kv) == 0


def test_the_capacity_holds_without_a_threshold(kv: KVault, path: Path) -> None:
    with kv.cache(cap_bytes=10_000, auto_flush=False):
        for i in range(30):
            kv[f"{i:02}"] = bytes(1000)
            assert kv.stats()["pending_bytes"] <= 10_000
        assert 0 < stored(path) < 30
        kv["larger than the capacity"] = bytes(20_000)
        assert stored(path) == 31
    assert len(kv) == 31


def test_disable_and_close_flush(path: Path) -> None:
    with KVault(path) as kv:
        kv.enable_cache()
        kv["a"] = b"1"
        kv.disable_cache()
        assert stored(path) == 1
        kv["b"] = b"2"
        assert stored(path) == 2
        kv.enable_cache()
        kv["c"] = b"3"
        assert stored(path) == 2
    assert stored(path) == 3


def test_the_context_flushes_and_restores(kv: KVault, path: Path) -> None:
    with kv.cache():
        kv["a"] = b"1"
        with kv.cache(cap_bytes=1 << 20):
            kv["b"] = b"2"
        assert stored(path) == 2
        kv["c"] = b"3"
        assert stored(path) == 2
    assert stored(path) == 3
    kv["d"] = b"4"
    assert stored(path) == 4
    with suppress(ZeroDivisionError), kv.cache():
        kv["e"] = b"5"
        raise ZeroDivisionError
    assert stored(path) == 5


def test_an_interval_flushes_in_the_background(kv: KVault, path: Path) -> None:
    kv.enable_cache(flush_interval=0.05)
    kv["a"] = b"1"
    deadline = time.monotonic() + 20
    while stored(path) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert pending(kv) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cap_bytes": 0}, "capacity is 0"),
        ({"cap_bytes": -1}, "cap_bytes is -1"),
        ({"cap_bytes": 10, "flush_threshold": 11}, "flush threshold is 11"),
        ({"flush_threshold": -1}, "flush_threshold is -1"),
        ({"flush_interval": 0}, "flush_interval is 0"),
        ({"flush_interval": -1.0}, "flush_interval is -1"),
        ({"flush_interval": float("nan")}, "flush_interval is nan"),
        ({"flush_interval": 1e9}, "flush_interval"),
    ],
)
def test_numbers_out_of_range_are_refused(kv: KVault, options: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        kv.enable_cache(**options)


def test_a_failed_flush_loses_nothing(path: Path) -> None:
    with KVault(path, retries=1, backoff_base=0.05) as kv:
        kv.enable_cache()
        kv["a"] = b"1"
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        for call in (kv.flush_cache, kv.disable_cache, kv.close):
            with pytest.raises(DatabaseBusy):
                call()
            assert kv["a"] == b"1"
            assert pending(kv) == 1
        other.execute("rollback")
        other.close()
        assert kv.flush_cache() == 1
    assert stored(path) == 1


def test_any_commit_carries_what_is_pending(path: Path) -> None:
    with KVault(path) as kv, KVault(path) as plain:
        kv.enable_cache()
        kv["pending"] = b"1"
        plain["direct"] = b"2"
        assert stored(path) == 2
        kv["pending 2"] = b"3"
        with kv.snapshot() as seen:
            assert len(seen) == 3
        assert stored(path) == 3


def test_a_vaults_cache_is_that_of_its_stores(path: Path) -> None:
    with Vault(path) as vault:
        kv = vault.kv()
        vault.enable_cache()
        kv["a"] = b"1"
        assert stored(path) == 0
        assert vault.flush_cache() == 1


def test_lock_cache_flushes_once_at_the_end(kv: KVault, path: Path) -> None:
    with kv.lock_cache():
        for i in range(100):
            kv[str(i)] = bytes(100)
        kv.put_many([("b", b"1"), ("c", b"2")])
        del kv["5"]
        assert kv.flush_cache() == 0
        assert stored(path) == 0
        assert len(kv) == 101
    assert stored(path) == 101
    with suppress(ZeroDivisionError), kv.lock_cache():
        kv["after an exception"] = b"1"
        raise ZeroDivisionError
    assert stored(path) == 102


def test_what_cannot_be_pending_raises_inside_lock_cache(kv: KVault, folder: Path) -> None:
    def stream() -> None:
        with kv.open("s", "wb") as out:
            out.write(b"1")

    kv["a"] = b"1"
    with kv.cache(cap_bytes=10_000), kv.lock_cache():
        kv["b"] = bytes(4000)
        with pytest.raises(KohakuVaultError):
            kv["larger"] = bytes(20_000)
        calls = [
            stream,
            kv.snapshot,
            kv.checkpoint,
            kv.close,
            lambda: kv.backup(folder / "b"),
            kv.transaction().__enter__,
        ]
        for call in calls:
            with pytest.raises(KohakuVaultError):
                call()
    assert sorted(kv) == [b"a", b"b"]


def test_other_threads_wait_for_lock_cache(path: Path) -> None:
    failures: list[Exception] = []
    with KVault(path) as kv, KVault(path, retries=1, backoff_base=0.05) as hasty:

        def write() -> None:
            try:
                hasty["a"] = b"1"
            except DatabaseBusy as exc:
                failures.append(exc)

        with kv.lock_cache():
            kv["b"] = b"2"
            writer = threading.Thread(target=write)
            writer.start()
            writer.join()
        assert len(failures) == 1
        assert dict(kv) == {b"b": b"2"}
