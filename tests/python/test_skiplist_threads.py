"""SkipList under many threads: histories that some order explains, garbage, forks, threads that come and go."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kohakuvault import SkipList
from linear import ABSENT, Call, is_linearizable
from map_models import Version

THREADS = 4
ROUNDS = int(os.environ.get("KVTEST_ROUNDS", "6"))  # a campaign asks for more


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def run(*bodies: Callable[[], None]) -> None:
    """Run each body in a thread of its own; what one raises is raised."""
    failures: list[BaseException] = []
    start = threading.Barrier(len(bodies))

    def guarded(body: Callable[[], None]) -> None:
        start.wait()
        try:
            body()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


# ---- the checker itself ----


def test_the_checker_tells_what_could_have_been() -> None:
    overlapping = [Call(0, 10, "set", 1, None), Call(1, 9, "get", None, ABSENT), Call(2, 8, "get", None, 1)]
    assert is_linearizable(overlapping)
    assert not is_linearizable([*overlapping, Call(11, 12, "get", None, ABSENT)])
    assert not is_linearizable([Call(0, 1, "set", 1, None), Call(2, 3, "get", None, ABSENT)])
    assert is_linearizable([Call(0, 1, "insert", 1, ABSENT), Call(2, 3, "insert", 2, 1), Call(4, 5, "remove", None, 1)])
    assert not is_linearizable([Call(0, 5, "remove", None, 1), Call(1, 4, "remove", None, 1), Call(0, 9, "set", 1, 0)])


# ---- histories ----


class Recorder:
    """A thread that works on a few keys and writes down what it was told."""

    def __init__(self, skips: SkipList[Any, Any], keys: list[Any], seed: int) -> None:
        self.skips = skips
        self.keys = keys
        self.random = random.Random(seed)
        self.calls: dict[Any, list[Call]] = {key: [] for key in keys}
        self.values = ((seed, number) for number in range(10**9))

    def note(self, key: Any, begin: int, kind: str, value: Any, answer: Any) -> None:
        self.calls[key].append(Call(begin, time.perf_counter_ns(), kind, value, answer))

    def single(self) -> None:
        key, value = self.random.choice(self.keys), next(self.values)
        kind = self.random.choice(["set", "insert", "get", "remove"])
        begin = time.perf_counter_ns()
        if kind == "set":
            self.skips[key] = value
            self.note(key, begin, kind, value, None)
            return
        if kind == "insert":
            answer = self.skips.insert(key, value)
        elif kind == "get":
            answer = self.skips.get(key)
        else:
            answer = self.skips.remove(key)
        self.note(key, begin, kind, value, ABSENT if answer is None else answer)

    def batch(self) -> None:
        """Without the GIL, so that it runs beside the others."""
        begin = time.perf_counter_ns()
        if self.random.random() < 0.5:
            pairs = [(key, next(self.values)) for key in self.keys]
            self.skips.update(pairs)
            for key, value in pairs:
                self.note(key, begin, "set", value, None)
        else:
            for key, answer in zip(self.keys, self.skips.get_many(self.keys, default=ABSENT), strict=True):
                self.note(key, begin, "get", None, answer)

    def work(self) -> None:
        for _ in range(60):
            self.single() if self.random.random() < 0.7 else self.batch()


@pytest.mark.parametrize("kind", ["int", "str", "bytes", "float", "tuple", "objects"])
def test_histories_are_linearizable(kind: str) -> None:
    make: dict[str, Callable[[int], Any]] = {
        "int": int,
        "str": lambda number: f"é{number}",
        "bytes": lambda number: bytes([number]),
        "float": float,
        "tuple": lambda number: (number // 4, str(number)),
        "objects": Version,
    }
    for turn in range(ROUNDS):
        skips: SkipList[Any, Any] = SkipList()
        keys = [make[kind](number) for number in range(12)]
        recorders = [Recorder(skips, keys, seed=turn * THREADS + number) for number in range(THREADS)]
        run(*(recorder.work for recorder in recorders))
        skips._verify()
        for key in keys:
            history = [call for recorder in recorders for call in recorder.calls[key]]
            now = time.perf_counter_ns()
            history.append(Call(now, now + 1, "get", None, skips.get(key, ABSENT)))
            assert is_linearizable(history), (key, history)


def test_batches_run_beside_each_other_and_lose_nothing() -> None:
    skips: SkipList[int, int] = SkipList()

    def fill(number: int) -> Callable[[], None]:
        return lambda: skips.update((key, key) for key in range(number, 40_000, THREADS))

    run(*(fill(number) for number in range(THREADS)))
    skips._verify()
    assert skips.items() == [(key, key) for key in range(40_000)]


def test_lists_are_in_order_and_hold_all_that_stays() -> None:
    skips: SkipList[int, int] = SkipList()
    skips.update((key, key) for key in range(0, 3000, 3))
    done = threading.Event()

    def disturb() -> None:
        chance = random.Random(1)
        while not done.is_set():
            keys = [chance.randrange(1000) * 3 + 1 for _ in range(50)]
            skips.update((key, key) for key in keys)
            for key in keys:
                skips.remove(key)

    def watch() -> None:
        try:
            for _ in range(50):
                for keys in (skips.keys(), [key for key, _ in skips.items()], [key for key, _ in skips]):
                    assert keys == sorted(set(keys))
                    assert [key for key in keys if key % 3 == 0] == list(range(0, 3000, 3))
                assert [key for key, _ in skips.irange(300, 600, reverse=True) if key % 3 == 0] == list(
                    range(597, 299, -3)
                )
        finally:
            done.set()

    run(disturb, disturb, watch)
    skips._verify()


@pytest.mark.parametrize("_", range(ROUNDS))
def test_the_kind_of_keys_changes_under_everybodys_hands(_: int) -> None:
    skips: SkipList[Any, Any] = SkipList()
    run(
        lambda: skips.update((number, number) for number in range(5000)),
        lambda: [skips.insert(number + 0.5, number) for number in range(200)],  # type: ignore[return-value]
        lambda: [skips.get_many(range(100)) for _ in range(50)],  # type: ignore[return-value]
        lambda: [list(skips.irange(None, 50)) for _ in range(50)],  # type: ignore[return-value]
    )
    skips._verify()
    assert skips.keys() == sorted([*range(5000), *(number + 0.5 for number in range(200))])


def test_clear_beside_everything() -> None:
    skips: SkipList[Any, Any] = SkipList()
    done = threading.Event()

    def clear() -> None:
        for _ in range(200):
            skips.clear()
        done.set()

    def fill(kind: Callable[[int], Any]) -> Callable[[], None]:
        def body() -> None:
            while not done.is_set():
                skips.update((kind(number), number) for number in range(60))
                list(skips)
                skips.get_many([kind(number) for number in range(60)])

        return body

    run(clear, fill(int), fill(float))
    skips._verify()


# ---- garbage ----


def test_a_collection_misses_nothing_that_a_batch_moves() -> None:
    """Values in cycles, known to the map alone, replaced by batches while collections run."""

    class Node:
        def __init__(self, number: int) -> None:
            self.number = number
            self.itself = self

    skips: SkipList[int, Node] = SkipList()
    done = threading.Event()

    def replace() -> None:
        for turn in range(60):
            skips.update((number, Node(number)) for number in range(200))
            if turn % 7 == 0:
                for node in skips.get_many(range(200)):
                    assert node is None or node.itself is node
        done.set()

    def collect() -> None:
        while not done.is_set():
            gc.collect()
            for number, node in skips.items():
                assert node.itself is node
                assert node.number == number

    run(replace, collect)
    skips._verify()
    skips.clear()
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Node]


def test_values_die_while_others_are_inside() -> None:
    class Big:
        pass

    skips: SkipList[int, Big] = SkipList()
    watches: list[weakref.ref[Big]] = []

    def churn() -> None:
        for _ in range(20):
            made = [Big() for _ in range(100)]
            watches.extend(map(weakref.ref, made))
            skips.update(enumerate(made))

    run(churn, churn, lambda: [skips.items() for _ in range(100)] and None)
    skips.clear()
    assert not [watch for watch in watches if watch() is not None]


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_memory_is_flat_under_churn_and_threads_that_exit() -> None:
    skips: SkipList[int, bytes] = SkipList()
    turns = int(os.environ.get("KVTEST_STEPS", "12000")) // 1000

    def churn(seed: int) -> Callable[[], None]:
        def body() -> None:
            for step in range(50):
                skips.update((key, bytes(100)) for key in range(seed, seed + 100))
                for key in range(seed, seed + 100, 2):
                    skips.remove(key)
                skips.get_many(range(seed, seed + 100))
                skips[seed + step] = b""

        return body

    for turn in range(turns):
        run(churn(0), churn(50))
        if turn == turns // 3:
            before = resident_bytes()
    assert resident_bytes() - before < 2 << 20
    skips._verify()


# ---- forks ----


@contextmanager
def forked() -> Iterator[bool]:
    """True in the child, which ends with the block; in the parent the block runs too, then waits for it."""
    child = os.fork()
    if child:
        yield False
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        return
    code = 1
    try:
        yield True
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", [int, str, Version])
def test_a_child_goes_on_while_threads_of_the_parent_were_inside(kind: Callable[[int], Any]) -> None:
    skips: SkipList[Any, Any] = SkipList()
    skips.update((kind(number), number) for number in range(0, 3000, 3))
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            skips.update((kind(number), number) for number in range(1, 3000, 3))
            skips.get_many([kind(number) for number in range(300)])
            for number in range(1, 300, 3):
                skips.remove(kind(number))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(ROUNDS):
            with forked() as is_child:
                if is_child:
                    assert sorted(number for number in skips.values() if number % 3 == 0) == list(range(0, 3000, 3))
                    watch = weakref.ref(big := Version(1))
                    skips[kind(4000)] = big
                    del big
                    skips.remove(kind(4000))
                    assert watch() is None
                    skips.clear()
                    skips["a"] = 1
                    skips._verify()
                    assert skips.items() == [("a", 1)]
            time.sleep(0.01)
    finally:
        done.set()
        for worker in workers:
            worker.join()
    skips._verify()
