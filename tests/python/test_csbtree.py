"""CSBTree against a sorted dict in every mode, hostile keys, iteration, pickling, garbage."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sys
import weakref
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kohakuvault import CSBTree, InvalidArgument
from map_models import FAMILIES, NUMBERS, Code, MapMachine, Play, Version
from sortedcontainers import SortedDict

STEPS = int(os.environ.get("KVTEST_STEPS", "12000"))  # a campaign asks for millions

# ---- against a sorted dict ----


@pytest.mark.parametrize("order", [3, 63])
@pytest.mark.parametrize("family", FAMILIES)
def test_random_steps_agree_with_a_sorted_dict(family: str, order: int) -> None:
    play = Play(CSBTree(order), FAMILIES[family], seed=order)
    for step in range(6000):
        play.step(growing=step // 1500 % 2 == 0)
        if step % 750 == 0:
            play.check()
    play.check()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_long_runs_agree_with_a_sorted_dict(family: str) -> None:
    play = Play(CSBTree(), FAMILIES[family], seed=7, span=20_000)
    for step in range(STEPS):
        play.step(growing=step // 4000 % 2 == 0)
        if step % 4000 == 0:
            play.check()
    play.check()


class TreeMachine(MapMachine):
    make = staticmethod(lambda: CSBTree(3))


TestTreeMachine = TreeMachine.TestCase
TestTreeMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.dictionaries(NUMBERS, st.integers(), max_size=200), st.sampled_from([3, 4, 63, 4096]))
@settings(deadline=None, max_examples=60)
def test_a_load_equals_insertion(pairs: dict[Any, int], order: int) -> None:
    one_by_one = CSBTree(order)
    for key, value in pairs.items():
        one_by_one[key] = value
    loaded = CSBTree.from_sorted(sorted(pairs.items()))
    loaded._verify()
    assert loaded.items() == one_by_one.items() == sorted(pairs.items())


# ---- single calls ----


def test_insert_replaces_and_returns_the_old_value() -> None:
    tree = CSBTree()
    assert tree.insert(1, "a") is None
    assert tree.insert(1, "b") == "a"
    assert tree[1] == "b"
    assert tree.remove(1) == "b"
    assert tree.remove(1) is None
    assert tree.is_empty()


def test_absent_keys() -> None:
    tree = CSBTree()
    with pytest.raises(KeyError) as missing:
        tree[(1, 2)]
    assert missing.value.args == ((1, 2),)
    with pytest.raises(KeyError):
        del tree["a"]
    assert tree.get("a") is None
    assert tree.get("a", 1) == tree.get("a", default=1) == tree.get_default("a", 1) == 1
    assert tree.first() is tree.last() is tree.floor(1) is tree.ceiling(1) is None
    assert tree.range(1, 2) == tree.keys() == tree.values() == tree.items() == list(tree.irange()) == []
    assert 1 not in tree
    assert len(tree) == 0
    assert not tree


def test_get_many_and_update() -> None:
    tree = CSBTree()
    tree.update({number: str(number) for number in range(1000)})
    assert tree.get_many(range(0, 2000, 500)) == ["0", "500", None, None]
    assert tree.get_many(iter([1, 2.0, True, "999" if 0 else 10**30]), default="-") == ["1", "2", "1", "-"]
    assert tree.get_many([]) == []
    tree.update(iter([(1, "one"), [2, "two"]]))
    tree.update(CSBTree.from_sorted([(3, "three")]))
    assert [tree[key] for key in (1, 2, 3)] == ["one", "two", "three"]
    with pytest.raises(ValueError, match="element 1 has length 3"):
        tree.update([(5, "five"), (1, 2, 3)])
    assert tree[5] == "five"
    with pytest.raises(TypeError, match="element 0 is int"):
        tree.update([5])


@pytest.mark.parametrize("order", [2, 4097, -1, 0])
def test_an_order_out_of_bounds_is_refused(order: int) -> None:
    with pytest.raises(InvalidArgument, match=f"order is {order}, want 3 to 4096"):
        CSBTree(order)


def test_arguments_that_no_call_takes() -> None:
    tree: Any = CSBTree()
    for call in (
        lambda: tree.insert(1),
        lambda: tree.get(),
        lambda: tree.get(1, other=2),
        lambda: tree.get_default(1),
        lambda: tree.range(1),
        lambda: tree.get_many(5),
        lambda: tree.update(5),
        lambda: CSBTree.from_sorted(5),
        lambda: CSBTree("x"),  # type: ignore[arg-type]
        lambda: tree.irange(1, 2, True),
    ):
        with pytest.raises(TypeError):
            call()


# ---- keys ----


def test_equal_numbers_find_each_other_and_the_first_key_stays() -> None:
    for first in (1, 1.0, True, Fraction(1), Decimal(1)):
        tree = CSBTree()
        tree[first] = "x"
        for other in (1, 1.0, True, Fraction(1), Decimal(1)):
            if isinstance(first, (float, Fraction)) and isinstance(other, Decimal):
                continue
            if isinstance(first, Decimal) and isinstance(other, (float, Fraction)):
                continue
            assert tree[other] == "x"
            tree[other] = "x"
            assert tree.floor(other) == tree.ceiling(other) == (1, "x")
            assert list(map(type, tree.keys())) == [type(first)]


def test_a_lookup_changes_nothing() -> None:
    tree = CSBTree.from_sorted([(number, None) for number in range(100)])
    size = sys.getsizeof(tree)
    assert 2.5 not in tree
    assert 10**30 not in tree
    assert tree.floor(2.5) == (2, None)
    assert tree.floor(Fraction(5, 2)) == (2, None)
    assert tree.ceiling(-(10**30)) == (0, None)
    assert tree.ceiling(10**30) is None
    assert tree.range(0.5, 3.5) == [(1, None), (2, None), (3, None)]
    assert tree.range(98.5, 10**30) == [(99, None)]
    assert tree.range(10**30, 10**31) == []
    assert list(tree.irange(97.5, reverse=True)) == [(99, None), (98, None)]
    assert tree.remove(2.5) is None
    assert sys.getsizeof(tree) == size


def test_subclasses_keep_their_type() -> None:
    class Number(int):
        pass

    tree: CSBTree[Any, Any] = CSBTree()
    for key in (Number(3), Code("a")):
        tree.clear()
        tree[key] = 1
        assert type(tree.keys()[0]) is type(key)
    tree.clear()
    tree[True] = 1
    tree[5] = 2
    assert tree.keys() == [True, 5]
    assert tree.keys()[0] is True


def test_minus_zero_is_zero() -> None:
    tree = CSBTree()
    tree[-0.0] = 1
    assert tree[0.0] == tree[0] == 1
    assert str(tree.keys()[0]) == "0.0"


@pytest.mark.parametrize("nan", [float("nan"), type("F", (float,), {})("nan")])
@pytest.mark.parametrize("start", [[], [(1, 1)], [(1.5, 1)], [("a", 1)], [(Version(1), 1)]])
def test_nan_is_refused_everywhere(nan: float, start: list[tuple[Any, int]]) -> None:
    tree: CSBTree[Any, Any] = CSBTree.from_sorted(start)
    for call in (
        lambda: tree.insert(nan, 1),
        lambda: tree.get(nan),
        lambda: tree.remove(nan),
        lambda: nan in tree,
        lambda: tree.floor(nan),
        lambda: tree.ceiling(nan),
        lambda: tree.range(nan, 1),
        lambda: tree.range(1, nan) if not start else tree.range(start[0][0], nan),
        lambda: tree.get_many([nan]),
        lambda: tree.setdefault(nan, 1),
        lambda: CSBTree.from_sorted([(nan, 1)]),
    ):
        with pytest.raises(InvalidArgument, match="NaN cannot be a key"):
            call()
    assert tree.items() == start


def test_a_key_without_an_order_is_refused_as_the_first_one() -> None:
    tree: CSBTree[Any, Any] = CSBTree()
    for key in (None, object(), 1j, {}):
        with pytest.raises(TypeError):
            tree[key] = 1
        with pytest.raises(TypeError):
            CSBTree.from_sorted([(key, 1)])
    np = pytest.importorskip("numpy")
    with pytest.raises(ValueError, match="not equal to itself"):
        tree[np.float32("nan")] = 1
    assert tree.is_empty()


def test_keys_that_are_neither_equal_nor_ordered_are_refused() -> None:
    tree: CSBTree[Any, Any] = CSBTree()
    tree[frozenset({1})] = 1
    with pytest.raises(TypeError, match="not equal, but neither is below the other"):
        tree[frozenset({2})] = 2
    tree = CSBTree.from_sorted([((1, float("nan")), 1)])
    with pytest.raises(TypeError, match="not equal, but neither"):
        tree[(1, float("nan"))] = 2
    assert len(tree) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_incomparable_keys_leave_map_and_mode_as_they_were(family: str) -> None:
    tree: CSBTree[Any, Any] = CSBTree()
    for number in range(300):
        tree[FAMILIES[family](number)] = number
    before, size = tree.items(), sys.getsizeof(tree)
    for stranger in (None, {}, object(), 1j):
        for call in (
            lambda key=stranger: tree.insert(key, 1),
            lambda key=stranger: tree.setdefault(key, 1),
            lambda key=stranger: tree.get(key),
            lambda key=stranger: tree.remove(key),
            lambda key=stranger: key in tree,
            lambda key=stranger: tree.floor(key),
            lambda key=stranger: tree.ceiling(key),
            lambda key=stranger: tree.get_many([key]),
            lambda key=stranger: tree.update([(key, 1)]),
        ):
            with pytest.raises(TypeError):
                call()
        if stranger is not None:
            with pytest.raises(TypeError):
                tree.range(stranger, before[0][0])
    assert tree.items() == before
    assert sys.getsizeof(tree) == size
    tree._verify()


def test_texts_sort_by_code_point_and_prefixes_do_not_tie() -> None:
    words = ["a", "a\0", "a\0\0\0\0\0\0\0", "a\0\0\0\0\0\0\0\0", "aa", "z", "\x7f", "\x80", "é", "\uffff", "\U00010000"]
    for start in range(len(words)):
        tree = CSBTree()
        for word in words[start:] + words[:start]:
            tree[word] = word
            tree._verify()
        assert tree.keys() == sorted(words)
        assert all(tree[word] == word for word in words)


def test_a_lone_surrogate_is_found_and_added() -> None:
    tree: CSBTree[str, int] = CSBTree.from_sorted([("a", 1), ("\ue000", 2)])
    assert "\udc00" not in tree
    assert tree.floor("\udc00") == ("a", 1)
    assert tree.ceiling("\udc00") == ("\ue000", 2)
    tree["\udc00"] = 3
    assert tree.keys() == ["a", "\udc00", "\ue000"]
    tree._verify()


def test_tuples_with_one_first_int() -> None:
    tree: CSBTree[Any, Any] = CSBTree(3)
    for number in range(500):
        tree[(1, str(number))] = number
        tree[(number, "x", 2)] = number
    tree._verify()
    assert tree.keys() == sorted({(1, str(n)) for n in range(500)} | {(n, "x", 2) for n in range(500)})
    assert tree.floor((1.0, "5")) == ((1, "5"), 5)
    assert tree.range((), (0,)) == []
    assert tree.range((True, "7"), (1, "71")) == [((1, "7"), 7), ((1, "70"), 70)]
    tree[(0.5,)] = "half"
    tree[()] = "none"
    tree._verify()
    assert tree.first() == ((), "none")


def test_buffers_and_bytes_compare() -> None:
    tree: CSBTree[Any, Any] = CSBTree.from_sorted([(b"a", 1), (b"b", 2)])
    assert tree[bytearray(b"b")] == 2
    assert tree.range(bytearray(b"aa"), b"z") == [(b"b", 2)]


# ---- comparisons that raise, and comparisons that change the map ----


class Spy:
    """A key that does something at its nth comparison from now."""

    at: int = 0
    seen: int = 0
    act: Callable[[], None]

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
    def expect(at: int, act: Callable[[], None]) -> None:
        Spy.at, Spy.seen, Spy.act = at, 0, act


def spies(kind: str) -> CSBTree[Any, Any]:
    """Ninety even numbers as keys that spy, or that are compared with a spy."""
    tree: CSBTree[Any, Any] = CSBTree(4)
    for number in range(0, 180, 2):
        if kind == "objects":
            tree[Spy(number)] = number
        elif kind == "tuples":
            tree[(number // 60, Spy(number))] = number
        else:
            tree[number] = number
    return tree


def spy_key(kind: str, number: int) -> Any:
    return (number // 60, Spy(number)) if kind == "tuples" else Spy(number)


OPERATIONS: dict[str, Callable[[CSBTree[Any, Any], Any], Any]] = {
    "get": lambda tree, key: tree.get(key),
    "get_default": lambda tree, key: tree.get_default(key, 1),
    "[]": lambda tree, key: tree[key] if tree.__contains__(key) else None,
    "in": lambda tree, key: key in tree,
    "insert": lambda tree, key: tree.insert(key, "new"),
    "[]=": lambda tree, key: tree.__setitem__(key, "new"),
    "setdefault": lambda tree, key: tree.setdefault(key, "new"),
    "remove": lambda tree, key: tree.remove(key),
    "del": lambda tree, key: tree.__delitem__(key),
    "floor": lambda tree, key: tree.floor(key),
    "ceiling": lambda tree, key: tree.ceiling(key),
    "range": lambda tree, key: tree.range(key, spy_key("tuples", 170) if isinstance(key, tuple) else Spy(170)),
    "irange": lambda tree, key: list(tree.irange(key, reverse=True)),
    "irange to": lambda tree, key: list(tree.irange(None, key)),
    "get_many": lambda tree, key: tree.get_many([key, key]),
    "update": lambda tree, key: tree.update([(key, "new")]),
    "copy": lambda tree, key: tree.copy(),
    "from_sorted": lambda tree, key: CSBTree.from_sorted(tree.items()),
}


class Refused(Exception):
    pass


def refuse() -> None:
    raise Refused


@pytest.mark.parametrize("number", [84, 85])
@pytest.mark.parametrize("kind", ["objects", "tuples", "foreign"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_comparison_that_raises_leaves_all_as_it_was(operation: str, kind: str, number: int) -> None:
    for at in range(1, 1000):
        tree = spies(kind)
        before, size = tree.items(), sys.getsizeof(tree)
        Spy.expect(at, refuse)
        refused = False
        try:
            OPERATIONS[operation](tree, spy_key(kind, number))
        except Refused:
            refused = True
        except KeyError:
            assert number == 85
        seen = Spy.seen
        Spy.expect(0, refuse)
        assert refused == (seen >= at)
        tree._verify()
        if not refused:
            break
        assert tree.items() == before
        assert sys.getsizeof(tree) == size
    else:
        pytest.fail("there is no end of comparisons")


CHANGES: dict[str, Callable[[CSBTree[Any, Any]], Any]] = {
    "clear": lambda tree: tree.clear(),
    "remove": lambda tree: tree.remove(tree.keys()[0]) if len(tree) else None,
    "another kind of keys": lambda tree: (tree.clear(), tree.update({"a": 1, "b": 2})),
    "back to numbers": lambda tree: (tree.clear(), tree.update({0: 0, 2: 2})),
    "a stranger": lambda tree: tree.insert(Fraction(1, 3), 1) if isinstance(tree.keys()[0], int) else tree.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["objects", "tuples", "foreign"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_comparison_that_changes_the_map_ends_the_call(operation: str, kind: str, change: str) -> None:
    for at in range(1, 1000):
        tree = spies(kind)
        Spy.expect(at, lambda: CHANGES[change](tree))  # noqa: B023
        words = ""
        try:
            OPERATIONS[operation](tree, spy_key(kind, 84))
        except RuntimeError as error:
            words = str(error)
        changed = "the map was changed while its keys were compared" in words or "lost a key" in words
        assert changed == bool(words)
        seen = Spy.seen
        Spy.expect(0, refuse)
        tree._verify()
        if seen < at:
            assert not changed
            break
        # Collecting the pairs of another map, or asking twice, may be done with the old state or the new one.
        assert changed or operation in ("copy", "from_sorted", "[]", "get_many", "update", "[]=")
    else:
        pytest.fail("there is no end of comparisons")


def test_a_first_key_that_fills_the_map_when_compared() -> None:
    tree: CSBTree[Any, Any] = CSBTree()
    Spy.expect(1, lambda: tree.update({1: 1}))
    with pytest.raises(RuntimeError, match="was changed"):
        tree[Spy(1)] = 1
    assert tree.items() == [(1, 1)]


def test_values_and_keys_that_change_the_map_when_they_die() -> None:
    class Last:
        def __init__(self, tree: CSBTree[Any, Any]) -> None:
            self.tree = tree

        def __lt__(self, other: Any) -> bool:
            return id(self) < id(other)

        def __del__(self) -> None:
            self.tree.clear()
            self.tree["a"] = "from the grave"

    for action in (
        lambda tree: tree.clear(),
        lambda tree: tree.remove(5),
        lambda tree: tree.insert(5, 1),
        lambda tree: tree.__setitem__(5, 1),
        lambda tree: tree.__delitem__(5),
        lambda tree: tree.update([(5, 1)]),
    ):
        tree: CSBTree[Any, Any] = CSBTree(3)
        for number in range(50):
            tree[number] = number
        tree[5] = Last(tree)
        action(tree)
        tree._verify()
        assert tree.items() == [("a", "from the grave")]


# ---- iteration ----


def test_a_map_that_changes_while_it_is_iterated() -> None:
    changes: list[Callable[[CSBTree[Any, Any]], Any]] = [
        lambda tree: tree.insert(1000, 1),
        lambda tree: tree.remove(0),
        lambda tree: tree.clear(),
        lambda tree: tree.insert(0.5, 1),
    ]
    for change in changes:
        for reverse in (False, True):
            tree = CSBTree.from_sorted([(number, None) for number in range(100)])
            steps = tree.irange(reverse=reverse)
            next(steps)
            change(tree)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="gained or lost a key while it was iterated"):
                    next(steps)
    empty: CSBTree[Any, Any] = CSBTree()
    steps = iter(empty)
    empty["a"] = 1
    with pytest.raises(RuntimeError):
        next(steps)


def test_a_new_value_does_not_disturb_an_iteration() -> None:
    tree = CSBTree.from_sorted([(number, 0) for number in range(100)])
    for key, _ in tree:
        tree[key] = 1
    assert set(tree.values()) == {1}


def test_an_iterator_keeps_its_map_and_ends_once() -> None:
    steps = iter(CSBTree.from_sorted([(1, 2)]))
    gc.collect()
    assert next(steps) == (1, 2)
    assert next(steps, None) is None
    assert next(steps, None) is None
    assert iter(steps) is steps


# ---- pickles, copies, repr ----


class Named(CSBTree[Any, Any]):
    """A subclass with attributes of its own."""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cls", [CSBTree, Named])
def test_pickles_and_copies(cls: type[CSBTree[Any, Any]], family: str) -> None:
    tree = cls(order=7)
    for number in range(300):
        tree[FAMILIES[family](number)] = [number]
    if cls is Named:
        tree.name = "x"  # type: ignore[attr-defined]
    others = [pickle.loads(pickle.dumps(tree, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in [*others, copy.copy(tree), copy.deepcopy(tree)]:
        other._verify()
        assert type(other) is cls
        assert other.items() == tree.items()
        assert getattr(other, "name", "x") == "x"
        assert other.__reduce__()[1] == (7,)
    assert copy.copy(tree).values()[0] is tree.values()[0]
    assert tree.copy().items() == tree.items()
    assert type(tree.copy()) is cls
    tree.copy()._verify()


def test_a_map_that_holds_itself() -> None:
    tree: CSBTree[Any, Any] = CSBTree()
    tree[1] = tree
    assert repr(tree) == "CSBTree.from_sorted([(1, CSBTree(...))])"
    other = pickle.loads(pickle.dumps(tree))
    assert other[1] is other


def test_a_repr_that_makes_the_map_again() -> None:
    tree = CSBTree.from_sorted({"a": 1, "b": [2]})
    assert repr(tree) == "CSBTree.from_sorted([('a', 1), ('b', [2])])"
    assert eval(repr(tree)).items() == tree.items()
    assert repr(Named()) == "Named.from_sorted([])"


def test_a_load_names_the_key_that_does_not_rise() -> None:
    for pairs in ([(1, 0), (1, 0)], [("b", 0), ("a", 0)], [(1, 0), (1.0, 0)], [((1, 2), 0), ((1, 2), 0)]):
        with pytest.raises(InvalidArgument, match="keys must rise: key 1 is "):
            CSBTree.from_sorted(pairs)
    with pytest.raises(TypeError):
        CSBTree.from_sorted([(1, 0), ("a", 0)])


# ---- memory ----


class Big:
    """Something whose end can be watched."""


def test_cycles_through_values_and_keys_are_collected() -> None:
    for key in (1, "a", (1, 2)):
        big = Big()
        tree: CSBTree[Any, Any] = CSBTree()
        tree[key] = [tree, big]
        watch = weakref.ref(big)
        del tree, big
        gc.collect()
        assert watch() is None
    tree = CSBTree()
    version = Version(1)
    version.tree = tree  # type: ignore[attr-defined]
    tree[version] = iter(tree)
    watch = weakref.ref(version)
    del tree, version
    gc.collect()
    assert watch() is None


def test_what_is_removed_is_let_go_of_at_once() -> None:
    for key in (1, 1.5, "a", b"a", (1, "a"), Version(1)):
        tree: CSBTree[Any, Any] = CSBTree()
        for action in (
            lambda t: t.remove(key),  # noqa: B023
            lambda t: t.insert(key, 1),  # noqa: B023
            lambda t: t.clear(),
            lambda t: t.__delitem__(key),  # noqa: B023
        ):
            big = Big()
            watch = weakref.ref(big)
            tree[key] = big
            del big
            assert watch() is not None
            action(tree)
            assert watch() is None


def test_a_very_deep_nest_dies_without_using_up_the_stack() -> None:
    nest: CSBTree[int, Any] = CSBTree()
    for _ in range(100_000):
        outer: CSBTree[int, Any] = CSBTree()
        outer[0] = nest
        nest = outer
    del nest, outer


def test_the_size_of_a_million_ints() -> None:
    tree = CSBTree.from_sorted([(number, None) for number in range(1_000_000)])
    assert sys.getsizeof(tree) <= 26 * 1_000_000


def test_nothing_is_kept_by_churn() -> None:
    tree: CSBTree[int, Any] = CSBTree()
    for number in range(20_000):
        tree[number] = number
        tree.remove(number - 500)
        if number == 2000:
            size = sys.getsizeof(tree)
    assert sys.getsizeof(tree) == size


def test_the_model_is_a_sorted_dict() -> None:
    assert CSBTree.from_sorted(SortedDict({2: 1, 1: 2})).items() == [(1, 2), (2, 1)]
