"""The works of rows_maps.py: one ordered map, filled in random order, and what is timed on it.

A call times itself, so that what must be undone between two turns, such as the removal of what was inserted, is not
in its figure. Every answer is compared with what it must be.
"""

from __future__ import annotations

import bisect
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

VALUE = 1  # LOBTree holds objects, but one for all keeps their memory out of the figures
RANGE = 100


def key_maker(kind: str) -> Callable[[int], Any]:
    return {"int": lambda number: number, "str": lambda number: f"key:{number:012d}"}[kind]


class BisectDict:
    """What one does without any library: a dict, and its keys in a list that is kept sorted."""

    def __init__(self) -> None:
        self.dict: dict[Any, Any] = {}
        self.sorted: list[Any] = []

    def __setitem__(self, key: Any, value: Any) -> None:
        if key not in self.dict:
            bisect.insort(self.sorted, key)
        self.dict[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.dict[key]
        del self.sorted[bisect.bisect_left(self.sorted, key)]

    def __getitem__(self, key: Any) -> Any:
        return self.dict[key]

    def range(self, start: Any, end: Any) -> list[tuple[Any, Any]]:
        low, high = bisect.bisect_left(self.sorted, start), bisect.bisect_left(self.sorted, end)
        return [(key, self.dict[key]) for key in self.sorted[low:high]]

    def items(self) -> list[tuple[Any, Any]]:
        return [(key, self.dict[key]) for key in self.sorted]


def make_map(library: str, pairs: list[tuple[Any, Any]]) -> tuple[Any, Callable[[Any, Any], list[Any]]]:
    """An ordered map of pairs that come in random order, and its list of a range."""
    made: Any
    if library in ("CSBTree", "SkipList"):
        import kohakuvault

        made = getattr(kohakuvault, library)()
        for key, value in pairs:
            made[key] = value
        return made, made.range
    if library == "SortedDict":
        from sortedcontainers import SortedDict

        made = SortedDict(pairs)
        return made, lambda start, end: [(key, made[key]) for key in made.irange(start, end, (True, False))]
    if library in ("LOBTree", "OOBTree"):
        trees = __import__(f"BTrees.{library}", fromlist=[library])
        made = getattr(trees, library)()
        for key, value in pairs:
            made[key] = value
        return made, lambda start, end: list(made.items(start, end, excludemax=True))
    made = BisectDict()
    made.dict = dict(pairs)
    made.sorted = sorted(made.dict)
    return made, made.range


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class OrderedMap:
    """A map of `size` even numbers, as keys of a kind; odd ones are absent."""

    def __init__(self, library: str, size: int, kind: str) -> None:
        make = key_maker(kind)
        dice = random.Random(size)
        numbers = list(range(0, 2 * size, 2))
        dice.shuffle(numbers)
        pairs = [(make(number), VALUE) for number in numbers]
        self.size = size
        self.sorted = sorted(key for key, _ in pairs)
        before = resident_bytes()
        self.map, self.range = make_map(library, pairs)
        self.entry_bytes = (resident_bytes() - before) / size
        # As many keys as there are, but not so many that a slow library needs seconds for a turn.
        self.present = [make(2 * dice.randrange(size)) for _ in range(min(size, 20_000))]
        self.fresh = [make(number + 1) for number in dice.sample(range(0, 2 * size, 2), min(size // 10, 5_000))]
        starts = [dice.randrange(size - RANGE) for _ in range(200)]
        self.bounds = [(self.sorted[at], self.sorted[at + RANGE]) for at in starts]

    def repeat(self, seconds: float, turn: Callable[[], float], operations: int) -> float:
        """Seconds an operation, of as many turns as fill a slice."""
        took, turns = turn(), 1
        while took < seconds:
            took += turn()
            turns += 1
        return took / (turns * operations)

    def insert_turn(self) -> float:
        made, value = self.map, VALUE
        began = time.perf_counter()
        for key in self.fresh:
            made[key] = value
        took = time.perf_counter() - began
        for key in self.fresh:
            del made[key]
        return took

    def delete_turn(self) -> float:
        made, value = self.map, VALUE
        for key in self.fresh:
            made[key] = value
        began = time.perf_counter()
        for key in self.fresh:
            del made[key]
        return time.perf_counter() - began

    def insert(self, seconds: float) -> float:
        assert self.fresh[0] not in self.keys()
        return self.repeat(seconds, self.insert_turn, len(self.fresh))

    def delete(self, seconds: float) -> float:
        figure = self.repeat(seconds, self.delete_turn, len(self.fresh))
        assert len(self.keys()) == self.size
        return figure

    def keys(self) -> set[Any]:
        return {key for key, _ in self.map.items()} if self.size <= 10_000 else set(self.sorted)

    def hit(self, seconds: float) -> float:
        def turn() -> float:
            made, found = self.map, 0
            began = time.perf_counter()
            for key in self.present:
                found += made[key]
            took = time.perf_counter() - began
            assert found == len(self.present)
            return took

        return self.repeat(seconds, turn, len(self.present))

    def ranges(self, seconds: float) -> float:
        def turn() -> float:
            listed = self.range
            began = time.perf_counter()
            for start, end in self.bounds:
                found = listed(start, end)
            took = time.perf_counter() - began
            assert [key for key, _ in found] == self.sorted[(at := self.sorted.index(start)) : at + RANGE]
            return took

        return self.repeat(seconds, turn, len(self.bounds))

    def items(self, seconds: float) -> float:
        def turn() -> float:
            began = time.perf_counter()
            found = list(self.map.items())
            took = time.perf_counter() - began
            assert len(found) == self.size
            assert found[0] == (self.sorted[0], VALUE)
            return took

        return self.repeat(seconds, turn, self.size)

    def get_many(self, seconds: float) -> float:
        def turn() -> float:
            began = time.perf_counter()
            found = self.map.get_many(self.present)
            took = time.perf_counter() - began
            assert sum(found) == len(self.present)
            return took

        return self.repeat(seconds, turn, len(self.present))

    def memory(self, seconds: float) -> float:
        return self.entry_bytes


class Locked:
    """What one does without a map for threads: a lock around each call."""

    def __init__(self, made: Any) -> None:
        self.map = made
        self.lock = threading.Lock()

    def __setitem__(self, key: Any, value: Any) -> None:
        with self.lock:
            self.map[key] = value

    def __delitem__(self, key: Any) -> None:
        with self.lock:
            del self.map[key]

    def __getitem__(self, key: Any) -> Any:
        with self.lock:
            return self.map[key]

    def get_many(self, keys: list[Any]) -> list[Any]:
        with self.lock:
            get = self.map.get
            return [get(key) for key in keys]

    def update(self, pairs: list[tuple[Any, Any]]) -> None:
        with self.lock:
            for key, value in pairs:
                self.map[key] = value

    def items(self) -> list[tuple[Any, Any]]:
        with self.lock:
            return list(self.map.items())


class SharedMap(OrderedMap):
    """The same, shared: by two threads where a call says so."""

    def __init__(self, library: str, size: int, kind: str) -> None:
        super().__init__(library, size, kind)
        if library != "SkipList":
            self.map = Locked(self.map)

    def in_two_threads(self, body: Callable[[], None]) -> float:
        threads = [threading.Thread(target=body) for _ in range(2)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def get_many_twice(self, seconds: float) -> float:
        """An operation is a key, of those that both threads look up."""

        def body() -> None:
            assert sum(self.map.get_many(self.present)) == len(self.present)

        return self.repeat(seconds, lambda: self.in_two_threads(body), 2 * len(self.present))

    def update_twice(self, seconds: float) -> float:
        pairs = [(key, VALUE) for key in self.present]

        def body() -> None:
            self.map.update(pairs)

        return self.repeat(seconds, lambda: self.in_two_threads(body), 2 * len(pairs))

    def update(self, seconds: float) -> float:
        pairs = [(key, VALUE) for key in self.present]

        def turn() -> float:
            began = time.perf_counter()
            self.map.update(pairs)
            return time.perf_counter() - began

        return self.repeat(seconds, turn, len(pairs))
