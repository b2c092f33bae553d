"""One file for threads, processes, forks and pools."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from kohakuvault import ForkedHandle, KVault


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_threads(*works: Callable[[], None]) -> None:
    """Run each in a thread of its own; raise what the first failing one raised."""
    with concurrent.futures.ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result(timeout=120)


# ---- threads ----


def test_threads_write_and_read_at_once(kv: KVault) -> None:
    def write(name: str) -> Callable[[], None]:
        def work() -> None:
            for i in range(200):
                kv[f"{name}{i:03}"] = name.encode() * 100
                assert kv[f"{name}{i:03}"] == name.encode() * 100

        return work

    def scan() -> None:
        for _ in range(20):
            keys = list(kv)
            assert keys == sorted(set(keys))

    run_threads(*(write(name) for name in "abcd"), scan)
    assert len(kv) == 800
    assert kv.verify() == []


def test_batches_and_pops_of_threads_are_atomic(kv: KVault) -> None:
    kv.put_many((f"{i:04}", b"v") for i in range(1000))
    taken: list[bytes] = []

    def take() -> None:
        with suppress(KeyError):
            while True:
                taken.append(kv.popitem()[0])

    run_threads(take, take, take)
    assert sorted(taken) == [b"%04d" % i for i in range(1000)]


def test_a_handle_may_be_closed_while_others_work_with_it(path: Path) -> None:
    kv = KVault(path)
    kv.put_many((f"{i:04}", b"v" * 100) for i in range(1000))
    started = threading.Barrier(4)

    def work() -> None:
        started.wait()
        with suppress(ValueError):
            while True:
                kv["0001"] = b"v"
                for _ in kv.items():
                    pass

    def close() -> None:
        started.wait()
        time.sleep(0.05)
        kv.close()

    with KVault(path) as other:
        run_threads(work, work, work, close)
        assert kv.closed
        assert len(other) == 1000


def test_reading_in_a_thread_goes_on_while_another_waits_for_the_file(kv: KVault) -> None:
    """The GIL is let go: a writer that waits does not stop the others."""
    kv["a"] = b"1"
    reads = 0
    with kv.transaction():
        writer = threading.Thread(target=kv.put, args=("b", b"2"))
        writer.start()
        for _ in range(1000):
            reads += kv["a"] == b"1"
    writer.join()
    assert reads == 1000
    assert kv["b"] == b"2"


def lets_others_run(call: Callable[[], object]) -> bool:
    """Whether another thread ran while the call did, which must take some 10 ms."""
    ticks, stop = [0], threading.Event()

    def tick() -> None:
        while not stop.wait(0.0005):
            ticks[0] += 1

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        while ticks[0] < 3:
            time.sleep(0.001)
        before = ticks[0]
        call()
        return ticks[0] > before + 1
    finally:
        stop.set()
        ticker.join()


def test_the_gil_is_let_go_while_a_call_works(kv: KVault, folder: Path) -> None:
    pairs = [(b"%06d" % i, bytes(200)) for i in range(60_000)]
    keys = [key for key, _ in pairs]
    large = bytes(60_000_000)
    calls: dict[str, Callable[[], object]] = {
        "put_many": lambda: kv.put_many(pairs),
        "get_many": lambda: kv.get_many(keys),
        "put": lambda: kv.put("large", large),
        "get": lambda: kv["large"],
        "read": lambda: kv.read("large", 1),
        "verify": kv.verify,
        "backup": lambda: kv.backup(folder / "copy.db"),
        "delete_many": lambda: kv.delete_many(keys),
    }
    # On a busy machine the other thread may miss its chance a few times.
    held = [name for name, call in calls.items() if not any(lets_others_run(call) for _ in range(20))]
    assert held == []


# ---- interrupts ----


def test_ctrl_c_ends_a_wait(folder: Path) -> None:
    script = """
import os, signal, sqlite3, sys, threading, time
from kohakuvault import KVault
kv = KVault(sys.argv[1])
kv["a"] = b"1"
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("begin immediate")
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    kv["a"] = b"2"
except KeyboardInterrupt:
    other.execute("rollback")
    kv["b"] = b"3"
    print(kv["a"], kv["b"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder / "i.db")], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["b'1'", "b'3'"]


def test_a_signal_handler_that_returns_interrupts_nothing(kv: KVault) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        for turn in range(20):
            kv.put_many((f"{turn}-{i}", b"v" * 100) for i in range(2000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(kv) == 40_000
    assert heard


# ---- forks ----


def test_a_childs_commits_are_there_when_the_parent_has_closed(path: Path) -> None:
    kv = KVault(path)
    kv["parent"] = b"1"
    assert kv["parent"] == b"1"  # the connections are open and idle

    def work() -> None:
        for i in range(100):
            kv[f"child{i}"] = b"2"
        kv.close()

    assert in_child(work) == 0
    kv["after"] = b"3"
    assert len(kv) == 102
    kv.close()
    with KVault(path) as again:
        assert len(again) == 102
        assert again.verify() == []


def test_parent_and_child_write_at_once(path: Path) -> None:
    with KVault(path) as kv:
        kv["start"] = b"1"
        child = os.fork()
        name = "parent" if child else "child"
        for i in range(300):
            kv[f"{name}{i}"] = b"v"
        if not child:
            kv.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(kv) == 601
        assert kv.verify() == []


def test_a_fork_in_the_middle_of_other_threads_work(path: Path) -> None:
    with KVault(path) as kv:
        stop = threading.Event()

        def write(name: str) -> Callable[[], None]:
            def work() -> None:
                i = 0
                while not stop.is_set():
                    kv[f"{name}{i % 50}"] = b"v" * 1000
                    assert kv[f"{name}{i % 50}"] == b"v" * 1000
                    i += 1

            return work

        def fork() -> None:
            try:
                for turn in range(20):
                    assert in_child(lambda turn=turn: kv.put(f"child{turn}", b"c")) == 0
            finally:
                stop.set()

        run_threads(write("a"), write("b"), fork)
        assert sum(1 for _ in kv.keys("child")) == 20
        assert kv.verify() == []


def test_pending_writes_are_the_parents_alone(path: Path) -> None:
    with KVault(path) as kv:
        kv.enable_cache()
        kv["pending"] = b"1"

        def work() -> None:
            assert "pending" not in kv
            kv["child"] = b"2"
            kv.close()

        assert in_child(work) == 0
        assert kv["pending"] == b"1"
        assert kv["child"] == b"2"
        assert kv.flush_cache() == 1


def test_a_child_of_a_transaction_or_snapshot_is_refused(kv: KVault) -> None:
    kv["a"] = b"1"

    def work() -> None:
        with pytest.raises(ForkedHandle):
            kv["a"]

    with kv.transaction():
        kv["b"] = b"2"
        assert in_child(work) == 0
    with kv.snapshot():
        assert in_child(work) == 0
    assert dict(kv) == {b"a": b"1", b"b": b"2"}


def test_a_stream_belongs_to_the_process_that_opened_it(kv: KVault) -> None:
    stream = kv.open("s", "wb")
    stream.write(b"x" * 10_000_000)

    def work() -> None:
        with pytest.raises(ForkedHandle):
            stream.write(b"y")
        stream.abort()
        kv["child"] = b"1"
        kv.close()

    assert in_child(work) == 0
    stream.close()
    assert kv["s"] == b"x" * 10_000_000
    assert kv.verify() == []


def test_memory_goes_on_as_a_copy_in_the_child() -> None:
    with KVault(":memory:") as kv:
        kv["a"] = b"1"

        def work() -> None:
            assert kv["a"] == b"1"
            kv["a"] = b"2"
            assert kv["a"] == b"2"

        assert in_child(work) == 0
        assert kv["a"] == b"1"


# ---- the end of a process ----


def test_what_is_pending_is_flushed_at_exit(path: Path) -> None:
    script = "import sys; from kohakuvault import KVault; kv = KVault(sys.argv[1]); kv.enable_cache(); kv['a'] = b'1'"
    subprocess.run([sys.executable, "-W", "error", "-c", script, str(path)], check=True, timeout=60)
    with KVault(path) as kv:
        assert kv["a"] == b"1"


def cache_and_leave(path: Path) -> None:
    kv = KVault(path)
    kv.enable_cache()
    kv[f"{os.getpid()}"] = b"1"
    cache_and_leave.kept = kv


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_worker_flushes_when_it_ends(path: Path, method: str) -> None:
    KVault(path).close()
    worker = multiprocessing.get_context(method).Process(target=cache_and_leave, args=(path,))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    with KVault(path) as kv:
        assert list(kv) == [b"%d" % worker.pid]


# ---- processes ----


def put_in_pool(kv: KVault, number: int) -> bytes:
    kv[f"worker{number}"] = b"v" * number
    return kv["shared"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pickled_handles_work_in_a_pool(path: Path, method: str) -> None:
    with KVault(path, table="pool") as kv:
        kv["shared"] = b"1"
        with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
            answers = list(pool.map(put_in_pool, [kv] * 50, range(50), timeout=120))
        assert answers == [b"1"] * 50
        assert len(kv) == 51


def write_for(path: Path, seconds: float, name: str) -> int:
    """Write and replace until the time is over; return how many keys there must be."""
    deadline, i = time.monotonic() + seconds, 0
    with KVault(path) as kv:
        while time.monotonic() < deadline:
            kv[f"{name}-{i:06}"] = os.urandom(200)
            i += 1
            if i % 100 == 0:
                kv.put_many((f"batch-{name}{j}", b"x" * 5000) for j in range(20))
    return i


def read_for(path: Path, seconds: float) -> int:
    """Read until the time is over; return the largest WAL seen."""
    deadline, largest = time.monotonic() + seconds, 0
    with KVault(path) as kv:
        while time.monotonic() < deadline:
            count = 0
            for key, value in kv.items():
                assert len(value) == (5000 if key.startswith(b"batch") else 200)
                count += 1
            assert count <= len(kv)
            largest = max(largest, kv.stats()["wal_bytes"])
    return largest


def write_twins(path: Path, seconds: float) -> int:
    """Write two keys at a time, always alike, until the time is over; return how often."""
    deadline, count = time.monotonic() + seconds, 0
    with KVault(path) as kv:
        while time.monotonic() < deadline:
            kv.put_many([("left", b"%09d" % count), ("right", b"%09d" % count), (f"n{count:09}", bytes(2000))])
            count += 1
    return count


@pytest.mark.slow
def test_a_backup_beside_a_steady_writer_is_one_instant(path: Path, folder: Path) -> None:
    with KVault(path) as kv:
        kv.put_many([(f"{i:05}", bytes(3000)) for i in range(5000)])
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            writer = pool.submit(write_twins, path, 3.0)
            while "left" not in kv:
                time.sleep(0.01)
            copies = 0
            while not writer.done():
                kv.backup(folder / "copy.db")
                with KVault(folder / "copy.db") as copied:
                    assert copied["left"] == copied["right"]
                    assert len(copied.keys("n")) == int(copied["left"]) + 1
                    assert copied.verify() == []
                copies += 1
        assert copies > 0
        assert int(kv["left"]) + 1 == writer.result()


@pytest.mark.slow
def test_two_processes_write_and_two_read(path: Path) -> None:
    seconds = float(os.environ.get("KVAULT_SHARE_SECONDS", "6"))
    KVault(path).close()
    with concurrent.futures.ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        writers = [pool.submit(write_for, path, seconds, name) for name in "AB"]
        readers = [pool.submit(read_for, path, seconds) for _ in range(2)]
        written = [writer.result(seconds + 60) for writer in writers]
        assert max(reader.result(seconds + 60) for reader in readers) < 200 << 20
    with KVault(path) as kv:
        assert [len(kv.keys(f"{name}-")) for name in "AB"] == written
        assert kv.verify() == []


def test_a_fork_inside_a_call_on_a_vault_in_memory_waits_for_nothing(folder: Path) -> None:
    code = """
import os, sys
from kohakuvault import KVault

kv = KVault(":memory:")
kv.put_many([(str(i), bytes(5000)) for i in range(2000)])
children = []

def progress(done, total):
    if not children:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        children.append(pid)
        os.waitpid(pid, 0)

kv.backup(sys.argv[1], progress=progress)
assert children and len(kv) == 2000
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "copy")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "done", done.stderr
