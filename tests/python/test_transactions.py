"""transaction(): one commit over everything in the file, savepoints inside, threads outside."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from kohakuvault import DatabaseBusy, InvalidArgument, KVault, Vault


def test_it_commits_once_at_the_end(kv: KVault) -> None:
    before = kv.stats()["commits"]
    with kv.transaction():
        for i in range(100):
            kv[str(i)] = b"v"
        assert len(kv) == 100
    assert kv.stats()["commits"] == before + 1
    assert len(kv) == 100


def test_an_exception_rolls_back_and_comes_through(kv: KVault) -> None:
    kv["a"] = b"1"

    def change_and_break() -> None:
        with kv.transaction():
            kv["a"] = b"2"
            kv["b"] = b"3"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_break()
    assert dict(kv) == {b"a": b"1"}
    assert len(kv) == 1


def test_inside_another_it_is_a_savepoint(kv: KVault) -> None:
    with kv.transaction():
        kv["outer"] = b"1"
        with suppress(ZeroDivisionError), kv.transaction():
            kv["inner"] = b"2"
            kv.clear()
            raise ZeroDivisionError
        assert dict(kv) == {b"outer": b"1"}
        with kv.transaction():
            kv["kept"] = b"3"
    assert dict(kv) == {b"kept": b"3", b"outer": b"1"}


def test_it_spans_the_tables_of_a_file(path: Path) -> None:
    with Vault(path) as vault:
        one, two = vault.kv("one"), vault.kv("two")
        with suppress(ZeroDivisionError), vault.transaction():
            one["a"] = b"1"
            two["a"] = b"1"
            raise ZeroDivisionError
        assert len(one) == len(two) == 0
        with two.transaction():
            one["a"] = b"1"
            two["a"] = b"1"
        assert len(one) == len(two) == 1


def test_other_threads_read_the_state_before(kv: KVault) -> None:
    kv["a"] = b"old"
    seen: list[bytes | None] = []
    with kv.transaction():
        kv["a"] = b"new"
        reader = threading.Thread(target=lambda: seen.append(kv.get("a")))
        reader.start()
        reader.join()
    assert seen == [b"old"]
    assert kv["a"] == b"new"


def test_other_threads_writes_wait_for_it(kv: KVault) -> None:
    entered = threading.Event()

    def write() -> None:
        entered.set()
        kv["order"] = b"second"

    with kv.transaction():
        writer = threading.Thread(target=write)
        writer.start()
        entered.wait()
        kv["order"] = b"first"
    writer.join()
    assert kv["order"] == b"second"


def test_a_wait_that_is_too_long_names_the_transaction(path: Path) -> None:
    failures: list[DatabaseBusy] = []
    with KVault(path) as kv, KVault(path, retries=2, backoff_base=0.02) as hasty:

        def write() -> None:
            try:
                hasty["a"] = b"1"
            except DatabaseBusy as exc:
                failures.append(exc)

        with kv.transaction():
            writer = threading.Thread(target=write)
            writer.start()
            writer.join()
    assert len(failures) == 1
    assert "transaction" in str(failures[0])


def test_close_inside_it_is_refused(kv: KVault) -> None:
    with kv.transaction():
        kv["a"] = b"1"
        with pytest.raises(InvalidArgument, match="inside a transaction"):
            kv.close()
    assert kv["a"] == b"1"


def test_it_ends_in_the_thread_that_began_it(kv: KVault) -> None:
    transaction = kv.transaction()
    failures: list[Exception] = []

    def leave() -> None:
        try:
            transaction.__exit__(None, None, None)
        except InvalidArgument as exc:
            failures.append(exc)

    with transaction:
        other = threading.Thread(target=leave)
        other.start()
        other.join()
        kv["a"] = b"1"
    assert len(failures) == 1
    assert kv["a"] == b"1"


def test_what_is_pending_is_committed_before_it_begins(kv: KVault) -> None:
    kv.enable_cache()
    kv["pending"] = b"1"
    with suppress(ZeroDivisionError), kv.transaction():
        assert kv.stats()["pending_entries"] == 0
        kv["inside"] = b"2"
        raise ZeroDivisionError
    assert dict(kv) == {b"pending": b"1"}


def test_a_large_one_is_undone(kv: KVault) -> None:
    kv.put_many((f"{i:05}", b"o" * 100) for i in range(1000))
    with suppress(ZeroDivisionError), kv.transaction():
        for i in range(300):
            kv[f"{i:05}"] = bytes(200_000)
        kv.delete_many(f"{i:05}" for i in range(500, 1000))
        raise ZeroDivisionError
    assert len(kv) == 1000
    assert all(value == b"o" * 100 for value in kv.values())
    assert kv.verify() == []


# ---- threads that end inside ----


def test_a_thread_that_ends_inside_a_transaction_undoes_it(kv: KVault) -> None:
    """Else everybody waits for it for ever, and the next thread that is given its number is taken for it."""

    def begin() -> None:
        kv.transaction().__enter__()
        kv["begun"] = b"1"
        kv.transaction().__enter__()
        kv["inner"] = b"1"

    def put() -> None:
        assert kv._handle.depth == 0
        kv["put"] = b"1"

    for target in (begin, put, put, begin):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    kv["after"] = b"1"
    assert set(kv) == {b"put", b"after"}
    with kv.snapshot() as committed:
        assert set(committed) == {b"put", b"after"}


def test_a_thread_that_ends_inside_a_locked_cache_flushes_it(kv: KVault) -> None:
    def lock() -> None:
        kv.lock_cache().__enter__()
        kv["a"] = b"1"

    thread = threading.Thread(target=lock)
    thread.start()
    thread.join()
    kv["b"] = b"2"  # waits for the end of the thread, which join() does not quite do
    assert kv.stats()["pending_entries"] == 0
    assert dict(kv) == {b"a": b"1", b"b": b"2"}


# ---- opening meanwhile ----


def test_a_file_opens_while_a_transaction_or_a_locked_cache_is_open_on_it(kv: KVault) -> None:
    kv["a"] = b"1"
    others: list[KVault] = []
    answers: list[dict[bytes, bytes]] = []

    def open_another() -> None:
        others.append(KVault(kv.path, retries=0))

    for context, seen in ((kv.transaction, {b"a": b"1"}), (kv.lock_cache, {b"a": b"1", b"b": b"2"})):
        with context():
            kv["b"] = b"2"
            thread = threading.Thread(target=open_another)
            thread.start()
            thread.join()
            thread = threading.Thread(target=lambda: answers.append(dict(others[-1])))
            thread.start()
            thread.join()
            assert answers.pop() == seen
            own = KVault(kv.path)
            own["c"] = b"3"
            assert (own["b"], kv["c"]) == (b"2", b"3")
        own.close()
        others.pop().close()
        assert dict(kv) == {b"a": b"1", b"b": b"2", b"c": b"3"}
        kv.delete_many(["b", "c"])
