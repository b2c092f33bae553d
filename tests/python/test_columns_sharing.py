"""Columns shared: between processes, across a fork, between threads, through pickles."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from kohakuvault import ColumnVault, ForkedHandle, KVault, NotFound

APPEND = """
import sys
from kohakuvault import ColumnVault
path, writer, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with ColumnVault(path) as columns:
    numbers, texts = columns["numbers"], columns["texts"]
    for i in range(count):
        with columns.transaction():
            numbers.append(writer * 1_000_000 + i)
            texts.append(f"{writer} {i} " + "x" * (i % 50))
print("done", flush=True)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_two_processes_append_while_one_reads(path: Path) -> None:
    count = 400
    with ColumnVault(path) as columns:
        numbers, texts = columns.ensure("numbers", "i64"), columns.ensure("texts", "str")
        writers = [start(APPEND, path, writer, count) for writer in (1, 2)]
        seen = 0
        while any(writer.poll() is None for writer in writers):
            with columns.snapshot() as snapshot:
                a, b = snapshot["numbers"][:], snapshot["texts"][:]
            assert len(a) == len(b) >= seen
            assert [f"{n // 1_000_000} {n % 1_000_000}" for n in a] == [" ".join(t.split()[:2]) for t in b]
            seen = len(a)
            assert len(numbers) >= seen
            if seen:
                assert numbers[seen - 1] == a[-1]
                assert texts[seen // 2] == b[seen // 2]
        for writer in writers:
            out, _ = writer.communicate()
            assert out == "done\n"
        for writer in (1, 2):  # each writer's own order is kept, nothing is lost, nothing twice
            mine = [n % 1_000_000 for n in numbers if n // 1_000_000 == writer]
            assert mine == list(range(count))
        assert len(texts) == 2 * count
        assert columns.verify() == []


def test_pending_appends_and_those_of_another_process_are_all_kept(path: Path) -> None:
    with ColumnVault(path) as columns:
        numbers, texts = columns.ensure("numbers", "i64"), columns.ensure("texts", "str")
        with columns.cache():
            numbers.extend(range(10))
            texts.append("mine")
            assert start(APPEND, path, 1, 20).wait() == 0
            assert len(numbers) == 30
            assert numbers[-10:] == list(range(10))  # what is pending lies behind what is in the file
            assert texts[-1] == "mine"
        assert numbers[-10:] == list(range(10))
        assert len(numbers) == 30
        assert columns.verify() == []


def test_a_column_that_another_process_deleted_is_gone(path: Path) -> None:
    code = """
import sys
from kohakuvault import ColumnVault
with ColumnVault(sys.argv[1]) as columns:
    columns.delete_column("a")
    columns.create_column("a", "i64").append(7)
"""
    with ColumnVault(path) as columns:
        column = columns.ensure("a", "i64")
        column.extend([1, 2, 3])
        column.enable_cache()
        column.append(4)
        assert start(code, path).wait() == 0
        for use in (lambda: column[0], lambda: len(column), lambda: column.append(5), lambda: column.name):
            with pytest.raises(NotFound):
                use()
        column.flush_cache()  # what was pending goes with its column
        assert columns["a"] == [7]
        assert columns.verify() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_leaves_what_is_pending_to_the_parent(path: Path) -> None:
    kv = KVault(path)
    columns = ColumnVault(kv)
    column = columns.ensure("a", "i64")
    column.extend([1, 2, 3])
    for _ in range(5):
        assert column[0] == 1  # kept in memory
    column.enable_cache()
    column.append(4)
    pid = os.fork()
    if pid == 0:
        try:
            assert column[:] == [1, 2, 3]
            column.append(5)
            column.flush_cache()
            assert column[:] == [1, 2, 3, 5]
            columns["a"][0] = 0
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert column[:] == [0, 2, 3, 5, 4]
    column.flush_cache()
    assert column == [0, 2, 3, 5, 4]
    kv.close()
    with ColumnVault(path) as again:
        assert again["a"] == [0, 2, 3, 5, 4]
        assert again.verify() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_a_transaction_is_refused(path: Path) -> None:
    with ColumnVault(path) as columns:
        column = columns.ensure("a", "i64")
        with columns.transaction():
            column.append(1)
            pid = os.fork()
            if pid == 0:
                try:
                    column.append(2)
                except ForkedHandle:
                    os._exit(0)
                os._exit(1)
            assert os.waitpid(pid, 0)[1] == 0
            column.append(3)
        assert column == [1, 3]


def length_and_last(column: object) -> tuple[int, int]:
    return len(column), column[-1]  # type: ignore[arg-type, index]


def test_a_pool_reads_through_pickled_columns(path: Path) -> None:
    with ColumnVault(path) as columns:
        column = columns.ensure("a", "i64")
        column.extend(range(5000))
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            assert pool.map(length_and_last, [column] * 4) == [(5000, 4999)] * 4
        again = pickle.loads(pickle.dumps(columns))
        assert again["a"] == column


def test_threads_append_edit_and_read(path: Path) -> None:
    with ColumnVault(path) as columns:
        column = columns.ensure("a", "i64")
        texts = columns.ensure("t", "str")
        failures: list[BaseException] = []

        def work(thread: int) -> None:
            try:
                for i in range(150):
                    column.append(thread * 1000 + i)
                    texts.insert(0, f"{thread} {i}")
                    assert column[-1] is not None
                    assert len(column[:50]) <= 50
                    if i % 10 == 9:
                        with columns.cache():
                            column.append(-1)
                            assert -1 in column[-200:]
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        for n in range(4):
            assert [v for v in column if v // 1000 == n and v >= 0] == [n * 1000 + i for i in range(150)]
            assert [t for t in texts if t.split()[0] == str(n)] == [f"{n} {i}" for i in reversed(range(150))]
        assert column.count(-1) == 60
        assert columns.verify() == []
