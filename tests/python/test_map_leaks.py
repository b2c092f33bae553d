"""The maps keep no reference longer than they hold the entry: counts of references and blocks stay flat."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from kohakuvault import CSBTree, SkipList
from map_models import FAMILIES, Version
from test_leaks import counts

ROUNDS, TURNS = 40, 30  # the heap takes a while to find its shape; most are flat after ten rounds
SOME = [FAMILIES[name] for name in ("int", "str", "deep tuple", "tuple", "objects")]


class Angry(Version):
    """A key that does not let itself be compared."""

    def __lt__(self, other: object) -> bool:
        raise ZeroDivisionError

    __gt__ = __lt__


def use(made: Any) -> None:
    for family in SOME:
        keys = [family(number) for number in range(70)]
        made.update((key, [key]) for key in keys)
        made[keys[3]] = made.insert(keys[4], "new")
        made.setdefault(keys[5], "kept")
        assert made.get_many([*keys, keys[0]])[0] == made[keys[0]] == made.get(keys[0])
        assert keys[9] in made
        made.floor(keys[1]), made.ceiling(keys[2]), made.first(), made.last()
        made.range(keys[1], keys[2]), made.keys(), made.values(), made.items(), repr(made)
        list(made.irange(keys[2], reverse=True))
        next(iter(made.irange(keys[2])), None)
        made.remove(keys[6])
        del made[keys[7]]
        made.clear()


def change_modes(made: Any) -> None:
    made.update((number, [number]) for number in range(70))
    steps = iter(made)
    next(steps)
    made[0.5] = made[10**30] = [0]
    made[True] = [1]
    made.clear()
    made.update((str(number), [number]) for number in range(70))
    made["\ud800"] = [1]
    made.clear()
    made.update(((number // 5, str(number)), [number]) for number in range(70))
    made[(0.5,)] = [1]
    made.clear()


def fail(made: Any) -> None:
    for family in SOME:
        made.update((family(number), [number]) for number in range(70))
        key = family(3)
        for call in (
            lambda: made[None],
            lambda: made.insert(None, [1]),
            lambda: made.setdefault(None),
            lambda: made.remove(1j),
            lambda: made.floor({}),
            lambda: made.range({}, key),  # noqa: B023
            lambda: made.update([(key, [1]), (None, [1])] * 20),  # noqa: B023
            lambda: made.update([(key, 1), 5]),  # noqa: B023
            lambda: made.get_many([key, None] * 20),  # noqa: B023
            lambda: made.insert(float("nan"), [1]),
            lambda: made.insert(Angry(3), [1]),
            lambda: made.get(Angry(3)),
            lambda: made.__delitem__((1, Angry(3))),
            lambda: type(made).from_sorted([(2, 1), (1, 1)]),
            lambda: type(made).from_sorted([(Angry(2), 1), (Angry(3), 1)]),
        ):
            with suppress(TypeError, KeyError, ValueError, ZeroDivisionError, AttributeError):
                call()
        made.clear()


def copy_and_pickle(made: Any) -> None:
    for family in SOME:
        made.update((family(number), [number]) for number in range(70))
        pickle.loads(pickle.dumps(made))
        copy.deepcopy(made)
        copy.copy(made)
        if isinstance(made, CSBTree):
            made.copy()
            CSBTree.from_sorted(made)
        made.clear()


def make_cycles(made: Any) -> None:
    inner = type(made)()
    inner[(1, "a")] = [inner, iter(inner), made]
    made[1] = inner
    made.clear()


def work_in_threads(made: Any) -> None:
    if isinstance(made, CSBTree):
        return
    bodies = [
        lambda: made.update((number, [number]) for number in range(300)),
        lambda: made.get_many(range(300)),
        lambda: list(made),
        made.clear,
    ]
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.clear()


@pytest.mark.parametrize("operation", [use, change_modes, fail, copy_and_pickle, make_cycles, work_in_threads])
@pytest.mark.parametrize("cls", [CSBTree, SkipList])
def test_references_and_blocks_stay_flat(cls: type[Any], operation: Callable[[Any], None]) -> None:
    made = cls()
    grown = []
    for _ in range(ROUNDS):
        before = counts()
        for _ in range(TURNS):
            operation(made)
        grown.append([b - a for a, b in zip(before, counts(), strict=True)])
        if max(grown[-1]) < TURNS // 2:
            break
    references, blocks = map(min, zip(*grown, strict=True))
    assert references < TURNS // 2
    assert blocks < TURNS // 2
