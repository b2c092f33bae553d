"""Rows 14, 15 and 18: CSBTree beside SortedDict, BTrees and a dict with bisect, at three sizes, int and str keys;
SkipList beside a SortedDict with a lock. `bench_maps.c` has the native part of row 15."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from measure import Contender, Result, Row, Settings, Unavailable, compare, environment, workers

SIZES = (10_000, 100_000, 1_000_000)
WORKS = {"insert": "insert", "hit": "[] of a key that is there", "ranges": "range of 100", "delete": "delete"}
NEEDS = {"SortedDict": "sortedcontainers", "LOBTree": "BTrees", "OOBTree": "BTrees", "dict and bisect": ""}
GOALS = {
    "int": {
        "insert": {"SortedDict": 8, "LOBTree": 1.3},
        "hit": {"SortedDict": 0.8, "LOBTree": 1.3},
        "ranges": {"SortedDict": 5, "LOBTree": 1.3},
        "delete": {"SortedDict": 5, "LOBTree": 1.3},
        "items": {"SortedDict": 3, "LOBTree": 1.3},
    },
    "str": {
        "insert": {"SortedDict": 4, "OOBTree": 3},
        "hit": {"SortedDict": 0.8, "OOBTree": 3},
        "ranges": {"SortedDict": 5, "OOBTree": 3},
        "delete": {"SortedDict": 5, "OOBTree": 3},
        "items": {"SortedDict": 3, "OOBTree": 3},
    },
}


SHARED_WORKS = {
    "insert": "insert",
    "hit": "[] of a key that is there",
    "delete": "delete",
    "get_many": "get_many of 20,000",
    "update": "update of 20,000",
    "get_many_twice": "get_many, two threads",
    "update_twice": "update, two threads",
}


def contender(library: str, size: int, kind: str, factory: str = "OrderedMap") -> Contender:
    options = {"library": library, "size": size, "kind": kind}
    return Contender(library, "maps_work", factory, options, needs=NEEDS.get(library, ""))


def shared_rows(settings: Settings) -> list[Row]:
    made = []
    for kind in ("int", "str"):
        for size in SIZES:
            count = settings.sized(size)
            ours = contender("SkipList", count, kind, "SharedMap")
            peer = contender("SortedDict", count, kind, "SharedMap")
            for call, work in SHARED_WORKS.items():
                measure = self_timed(call, ours, [peer])
                made.append(Row("15", f"SkipList, {work}, {kind}, {size:,}", measure, goals={"SortedDict": 3}))
    return made


def self_timed(call: str, ours: Contender, peers: list[Contender]) -> Callable[[Settings], list[Result]]:
    """The measurement of a call that times itself, in seconds an operation; ours first."""

    def measure(settings: Settings) -> list[Result]:
        present, absent = [], []
        for peer in peers:
            try:
                environment(peer.needs)
                present.append(peer)
            except Unavailable as exc:
                absent.append(Result(peer.name, note=str(exc)))
        with workers([ours, *present], settings) as started:
            times: list[list[float]] = [[] for _ in started]
            for number in range(-1, settings.pairs):  # the first round warms up
                for place in range(len(started)):
                    i = (place + number) % len(started)
                    times[i].append(started[i].call(call, settings.seconds))
        ours_times = times[0][1:]
        shown = [compare(it.name, theirs[1:], ours_times) for it, theirs in zip(present, times[1:], strict=True)]
        return [Result(ours.name, statistics.median(ours_times) * 1e6, pairs=settings.pairs), *shown, *absent]

    return measure


def memory(settings: Settings) -> list[Result]:
    """Bytes an entry takes beside its key and value, ours beside a LOBTree."""
    results = []
    for library in ("CSBTree", "LOBTree"):
        with workers([contender(library, settings.sized(1_000_000), "int")], settings) as (worker,):
            results.append(Result(library, worker.call("memory", 0.0)))
    ours, theirs = results
    ratio = (theirs.value or 0.0) / (ours.value or 1.0)
    return [ours, Result("LOBTree", theirs.value, ratio, ratio, ratio)]


def rows(settings: Settings) -> list[Row]:
    made = [Row("18", "memory of an int entry, a million in random order", memory, unit="B", goals={})]
    for kind, tree in (("int", "LOBTree"), ("str", "OOBTree")):
        for size in SIZES:
            count = settings.sized(size)
            ours = contender("CSBTree", count, kind)
            # Each insertion of bisect moves the list, which at a million takes longer than all the rest.
            libraries = ("SortedDict", tree, "dict and bisect") if size < SIZES[-1] else ("SortedDict", tree)
            peers = [contender(library, count, kind) for library in libraries]
            for call, work in {**WORKS, "items": "items"}.items():
                measure = self_timed(call, ours, peers)
                made.append(Row("14", f"CSBTree, {work}, {kind}, {size:,}", measure, goals=GOALS[kind][call]))
    return [*made, *shared_rows(settings)]
