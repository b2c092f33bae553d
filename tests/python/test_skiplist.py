"""SkipList against a sorted dict in every mode, hostile keys, iteration while it changes, garbage."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import weakref
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from kohakuvault import InvalidArgument, SkipList
from map_models import FAMILIES, MapMachine, Play, Version

STEPS = int(os.environ.get("KVTEST_STEPS", "12000"))  # a campaign asks for millions

# ---- against a sorted dict ----


@pytest.mark.parametrize("family", FAMILIES)
def test_random_steps_agree_with_a_sorted_dict(family: str) -> None:
    play = Play(SkipList(), FAMILIES[family], seed=1)
    for step in range(6000):
        play.step(growing=step // 1500 % 2 == 0)
        if step % 750 == 0:
            play.check()
    play.check()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_long_runs_agree_with_a_sorted_dict(family: str) -> None:
    play = Play(SkipList(), FAMILIES[family], seed=7, span=20_000)
    for step in range(STEPS):
        play.step(growing=step // 4000 % 2 == 0)
        if step % 4000 == 0:
            play.check()
    play.check()


class ListMachine(MapMachine):
    make = SkipList


TestListMachine = ListMachine.TestCase
TestListMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# ---- single calls ----


def test_insert_keeps_and_item_assignment_replaces() -> None:
    skips: SkipList[int, str] = SkipList()
    assert skips.insert(1, "a") is None
    assert skips.insert(1, "b") == "a"
    assert skips[1] == "a"
    skips[1] = "c"
    assert skips.remove(1) == "c"
    assert skips.remove(1) is None
    assert skips.is_empty()


def test_absent_keys() -> None:
    skips: SkipList[Any, Any] = SkipList()
    with pytest.raises(KeyError) as missing:
        skips[(1, 2)]
    assert missing.value.args == ((1, 2),)
    with pytest.raises(KeyError):
        del skips["a"]
    assert skips.get("a") is None
    assert skips.get("a", 1) == skips.get("a", default=1) == 1
    assert skips.first() is skips.last() is skips.floor(1) is skips.ceiling(1) is None
    assert skips.range(1, 2) == skips.keys() == skips.values() == skips.items() == list(skips.irange()) == []
    assert 1 not in skips
    assert not skips


@pytest.mark.parametrize("count", [1, 9, 10, 127, 128, 129, 4095, 4096, 4097, 10_000])
@pytest.mark.parametrize("family", ["int", "str", "tuple", "numbers"])
def test_batches_of_every_size(family: str, count: int) -> None:
    pairs = {FAMILIES[family](number): number for number in range(count)}
    skips: SkipList[Any, int] = SkipList()
    skips.update(pairs)
    skips._verify()
    assert skips.items() == sorted(pairs.items())
    skips.update(iter([(key, -1) for key in pairs]))
    assert skips.get_many(iter(pairs)) == [-1] * len(pairs)
    low, high = sorted(pairs)[len(pairs) // 3], sorted(pairs)[-1]
    assert skips.range(low, high) == [(key, -1) for key in sorted(pairs) if low <= key < high]
    skips.clear()
    assert skips.get_many(pairs, default=0) == [0] * len(pairs)


def test_update_names_what_is_no_pair() -> None:
    skips: SkipList[Any, Any] = SkipList()
    with pytest.raises(ValueError, match="element 4097 has length 3"):
        skips.update([*((number, 0) for number in range(4097)), (1, 2, 3)])
    assert len(skips) == 4096
    with pytest.raises(TypeError, match="element 0 is int"):
        skips.update([5])
    skips._verify()


def test_arguments_that_no_call_takes() -> None:
    skips: Any = SkipList()
    for call in (
        lambda: skips.insert(1),
        lambda: skips.get(),
        lambda: skips.get(1, other=2),
        lambda: skips.range(1),
        lambda: skips.get_many(5),
        lambda: skips.update(5),
        lambda: SkipList(5),  # type: ignore[call-arg]
        lambda: skips.irange(1, 2, True),
    ):
        with pytest.raises(TypeError):
            call()


def test_lookups_of_other_kinds_of_keys() -> None:
    skips: SkipList[Any, Any] = SkipList()
    skips.update((number, None) for number in range(100))
    assert 2.5 not in skips
    assert 10**30 not in skips
    assert skips.floor(2.5) == (2, None)
    assert skips.floor(Fraction(5, 2)) == (2, None)
    assert skips.ceiling(-(10**30)) == (0, None)
    assert skips.ceiling(10**30) is skips.floor(-(10**30)) is None
    assert skips.range(0.5, 3.5) == [(1, None), (2, None), (3, None)]
    assert skips.range(98.5, 10**30) == [(99, None)]
    assert skips.range(10**30, 10**31) == []
    assert list(skips.irange(97.5, reverse=True)) == [(99, None), (98, None)]
    assert skips.remove(2.5) is None
    assert skips.remove(True) is None
    assert 1 not in skips


@pytest.mark.parametrize("start", [[], [(1, 1)], [(1.5, 1)], [("a", 1)], [(Version(1), 1)]])
def test_nan_is_refused_everywhere(start: list[tuple[Any, int]]) -> None:
    nan = float("nan")
    skips: SkipList[Any, Any] = SkipList()
    skips.update(start)
    for call in (
        lambda: skips.insert(nan, 1),
        lambda: skips.get(nan),
        lambda: skips.remove(nan),
        lambda: nan in skips,
        lambda: skips.floor(nan),
        lambda: skips.ceiling(nan),
        lambda: skips.range(nan, 1),
        lambda: list(skips.irange(nan)),
        lambda: skips.get_many([nan]),
        lambda: skips.get_many([1.5] * 20 + [nan]) if not start or start[0][0] == 1.5 else skips.get(nan),
        lambda: skips.update([(nan, 1)] * 20),
        lambda: skips.setdefault(nan, 1),
    ):
        with pytest.raises(InvalidArgument, match="NaN cannot be a key"):
            call()
    assert skips.items() == start


@pytest.mark.parametrize("family", FAMILIES)
def test_incomparable_keys_leave_all_as_it_was(family: str) -> None:
    skips: SkipList[Any, Any] = SkipList()
    for number in range(300):
        skips[FAMILIES[family](number)] = number
    before = skips.items()
    for stranger in (None, {}, object(), 1j):
        for call in (
            lambda key=stranger: skips.insert(key, 1),
            lambda key=stranger: skips.setdefault(key, 1),
            lambda key=stranger: skips.get(key),
            lambda key=stranger: skips.remove(key),
            lambda key=stranger: key in skips,
            lambda key=stranger: skips.floor(key),
            lambda key=stranger: skips.ceiling(key),
            lambda key=stranger: skips.get_many([key] * 20),
            lambda key=stranger: skips.update([(key, 1)] * 20),
        ):
            with pytest.raises(TypeError):
                call()
        if stranger is not None:
            with pytest.raises(TypeError):
                skips.range(before[0][0], stranger)
    assert skips.items() == before
    skips._verify()


# ---- comparisons that raise, and comparisons that change the map ----


class Spy:
    """A key that does something at its nth comparison from now."""

    at: int = 0
    seen: int = 0
    act: Callable[[], Any]

    def __init__(self, number: int) -> None:
        self.number = number

    def __lt__(self, other: Any) -> bool:
        Spy.seen += 1
        if Spy.seen == Spy.at:
            Spy.at = 0
            Spy.act()
        return self.number < (other.number if isinstance(other, Spy) else other)

    def __gt__(self, other: Any) -> bool:
        return not self < other and self != other

    def __eq__(self, other: object) -> bool:
        return self.number == (other.number if isinstance(other, Spy) else other)

    def __hash__(self) -> int:
        return hash(self.number)

    @staticmethod
    def expect(at: int, act: Callable[[], Any]) -> None:
        Spy.at, Spy.seen, Spy.act = at, 0, act


def spies(kind: str) -> SkipList[Any, Any]:
    skips: SkipList[Any, Any] = SkipList()
    for number in range(0, 40, 2):
        key = {"objects": Spy(number), "tuples": (number // 20, Spy(number)), "foreign": number}[kind]
        skips[key] = number
    return skips


def spy_key(kind: str, number: int) -> Any:
    return (number // 20, Spy(number)) if kind == "tuples" else Spy(number)


OPERATIONS: dict[str, Callable[[SkipList[Any, Any], Any], Any]] = {
    "get": lambda skips, key: skips.get(key),
    "[]": lambda skips, key: skips[key] if skips.__contains__(key) else None,
    "insert": lambda skips, key: skips.insert(key, "new"),
    "[]=": lambda skips, key: skips.__setitem__(key, "new"),
    "setdefault": lambda skips, key: skips.setdefault(key, "new"),
    "remove": lambda skips, key: skips.remove(key),
    "del": lambda skips, key: skips.__delitem__(key),
    "floor": lambda skips, key: skips.floor(key),
    "ceiling": lambda skips, key: skips.ceiling(key),
    "range": lambda skips, key: skips.range(key, None),
    "irange": lambda skips, key: list(skips.irange(key, reverse=True)),
    "irange to": lambda skips, key: list(skips.irange(None, key)),
    "get_many": lambda skips, key: skips.get_many([key] * 12),
    "update": lambda skips, key: skips.update([(key, "new")]),
}


class Refused(Exception):
    pass


def refuse() -> None:
    raise Refused


@pytest.mark.parametrize("number", [18, 19])
@pytest.mark.parametrize("kind", ["objects", "tuples", "foreign"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_comparison_that_raises_leaves_all_as_it_was(operation: str, kind: str, number: int) -> None:
    for at in range(1, 1000):
        skips = spies(kind)
        before = skips.items()
        Spy.expect(at, refuse)
        refused = False
        try:
            OPERATIONS[operation](skips, spy_key(kind, number))
        except Refused:
            refused = True
        except KeyError:
            assert number == 19
        seen = Spy.seen
        Spy.expect(0, refuse)
        skips._verify()
        if seen < at:
            break
        # What was done when only a link was left to do is done.
        assert refused or operation in ("insert", "[]=", "setdefault", "remove", "del", "update")
        assert not refused or skips.items() == before
    else:
        pytest.fail("there is no end of comparisons")


CHANGES: dict[str, Callable[[SkipList[Any, Any]], Any]] = {
    "clear": lambda skips: skips.clear(),
    "remove the first": lambda skips: skips.remove(skips.keys()[0]) if len(skips) else None,
    "remove all": lambda skips: list(map(skips.remove, skips.keys())),
    "add": lambda skips: (
        skips.update([(spy_key("objects", number), "added") for number in range(40)])
        if len(skips) == 0 or isinstance(skips.keys()[0], (int, Spy))
        else skips.update([((0, Spy(number)), "added") for number in range(40)])
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["objects", "tuples", "foreign"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_comparison_may_change_the_map(operation: str, kind: str, change: str) -> None:
    for at in range(1, 1000):
        skips = spies(kind)
        Spy.expect(at, lambda: CHANGES[change](skips))  # noqa: B023
        try:
            OPERATIONS[operation](skips, spy_key(kind, 18))
        except KeyError:
            assert operation in ("del", "[]")
        except RuntimeError as error:
            # Adding objects to a map of numbers, in the middle of a call of the same thread.
            assert "of another kind cannot be added while this thread" in str(error)  # noqa: PT017
            assert (kind, change) == ("foreign", "add")
        seen = Spy.seen
        Spy.expect(0, refuse)
        skips._verify()
        keys = skips.keys()
        assert keys == sorted(keys)
        if seen < at:
            break
    else:
        pytest.fail("there is no end of comparisons")


def test_values_and_keys_that_change_the_map_when_they_die() -> None:
    class Last:
        def __init__(self, skips: SkipList[Any, Any]) -> None:
            self.skips = skips

        def __del__(self) -> None:
            self.skips.clear()
            self.skips[77] = "from the grave"

    actions: list[Callable[[SkipList[Any, Any]], Any]] = [
        lambda skips: skips.clear(),
        lambda skips: skips.remove(5),
        lambda skips: skips.__setitem__(5, 1),
        lambda skips: skips.__delitem__(5),
        lambda skips: skips.update([(5, 1)]),
        lambda skips: skips.update([(number, 1) for number in range(20)]),
    ]
    for action in actions:
        skips: SkipList[Any, Any] = SkipList()
        for number in range(50):
            skips[number] = number
        skips[5] = Last(skips)
        action(skips)
        skips._verify()
        assert skips.items() == [(77, "from the grave")]


# ---- iteration ----


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_iteration_gives_what_stays_exactly_once(family: str, reverse: bool) -> None:
    keys = sorted({FAMILIES[family](number) for number in range(400)})
    skips: SkipList[Any, int] = SkipList()
    skips.update((key, 0) for key in keys[::2])
    seen = []
    for step, (key, _) in enumerate(skips.irange(reverse=reverse)):
        seen.append(key)
        at = keys.index(key)
        if step % 3 == 0:
            skips.remove(key)
        if step % 5 == 0 and at > 3:
            skips[keys[at - 3]] = 1
        if step % 7 == 0 and at + 3 < len(keys):
            skips[keys[at + 3]] = 1
    assert seen == sorted(seen, reverse=reverse)
    assert [key for key in seen if key in keys[::2]] == sorted(keys[::2], reverse=reverse)
    skips._verify()


def test_an_iteration_sees_a_removal_and_an_addition_at_once() -> None:
    skips: SkipList[int, None] = SkipList()
    skips.update((number, None) for number in range(0, 100, 10))
    steps = iter(skips)
    assert next(steps) == (0, None)
    skips.remove(10)
    skips[11] = None
    assert next(steps) == (11, None)
    skips.clear()
    assert next(steps, None) is None
    skips[200] = None
    assert next(steps, None) is None


@pytest.mark.parametrize("reverse", [False, True])
def test_an_iteration_goes_on_when_the_kind_of_keys_changes(reverse: bool) -> None:
    skips: SkipList[Any, None] = SkipList()
    skips.update((number, None) for number in range(10))
    steps = skips.irange(2.5, 7.5, reverse=reverse)
    assert next(steps)[0] == (7 if reverse else 3)
    skips[4.5] = None
    assert [key for key, _ in steps] == ([6, 5, 4.5, 4, 3] if reverse else [4, 4.5, 5, 6, 7])
    steps = skips.irange(reverse=reverse)
    assert next(steps)[0] == (9 if reverse else 0)
    skips.clear()
    skips.update((number / 2, None) for number in (0, 1, 2, 18, 19))
    assert [key for key, _ in steps] == ([1.0, 0.5, 0.0] if reverse else [0.5, 1.0, 9.0, 9.5])


def test_a_bound_of_another_kind_holds_for_keys_that_come_later() -> None:
    skips: SkipList[Any, None] = SkipList()
    skips.update((number, None) for number in (1, 4, 5))
    steps = skips.irange(None, 2.5)
    assert next(steps) == (1, None)
    skips[2] = skips[3] = None
    assert next(steps) == (2, None)
    assert next(steps, None) is None


# ---- pickles, repr, memory ----


class Named(SkipList[Any, Any]):
    """A subclass with attributes of its own."""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cls", [SkipList, Named])
def test_pickles_and_copies(cls: type[SkipList[Any, Any]], family: str) -> None:
    skips = cls()
    for number in range(300):
        skips[FAMILIES[family](number)] = [number]
    if cls is Named:
        skips.name = "x"  # type: ignore[attr-defined]
    others = [pickle.loads(pickle.dumps(skips, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in [*others, copy.copy(skips), copy.deepcopy(skips)]:
        other._verify()
        assert type(other) is cls
        assert other.items() == skips.items()
        assert getattr(other, "name", "x") == "x"


def test_reprs() -> None:
    skips: SkipList[Any, Any] = SkipList()
    assert repr(skips) == "<SkipList []>"
    skips[1] = skips
    assert repr(skips) == "<SkipList [(1, SkipList(...))]>"
    assert repr(Named()) == "<Named []>"


class Big:
    """Something whose end can be watched."""


def test_what_is_removed_is_let_go_of_at_once() -> None:
    for key in (1, 1.5, "a", b"a", (1, "a"), Version(1)):
        skips: SkipList[Any, Any] = SkipList()
        for action in (
            lambda s: s.remove(key),  # noqa: B023
            lambda s: s.__setitem__(key, 1),  # noqa: B023
            lambda s: s.clear(),
            lambda s: s.__delitem__(key),  # noqa: B023
            lambda s: s.update([(key, number) for number in range(20)]),  # noqa: B023
        ):
            big = Big()
            watch = weakref.ref(big)
            skips[key] = big
            del big
            assert watch() is not None
            action(skips)
            assert watch() is None


def test_cycles_through_values_and_keys_are_collected() -> None:
    for key in (1, "a", (1, 2), Version(1)):
        big = Big()
        skips: SkipList[Any, Any] = SkipList()
        skips[key] = [skips, big]
        steps = iter(skips)
        skips[2 if key == 1 else key] = [skips, steps, big, next(steps)]
        watch = weakref.ref(big)
        del skips, big, steps
        gc.collect()
        assert watch() is None


def test_a_very_deep_nest_dies_without_using_up_the_stack() -> None:
    nest: SkipList[int, Any] = SkipList()
    for _ in range(50_000):
        outer: SkipList[int, Any] = SkipList()
        outer[0] = nest
        nest = outer
    del nest, outer
