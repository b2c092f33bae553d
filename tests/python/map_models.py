"""What the tests of both maps share: families of keys, hostile keys, and steps against a sorted dict."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sortedcontainers import SortedDict


class Version:
    """A key that only Python can compare."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __lt__(self, other: object) -> bool:
        return self.number < other.number if isinstance(other, Version) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.number == other.number

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return f"Version({self.number})"


class Code(str):
    """A subclass of str."""


def mixed_number(number: int) -> Any:
    """Equal numbers in many types, halves, and numbers beyond 64 bits."""
    if number % 7 == 0:
        return number * 2**62
    return [int, float, Fraction, lambda n: Fraction(n, 2), lambda n: n / 2][number % 5](number)


WORDS = ["", "a", "a\0", "a\0\0", "b", "é", "ß", "\uffff", "\U00010000", "\U0001f600", "z" * 70, "common prefix "]

# From a whole number to a key; several numbers may lead to equal keys.
FAMILIES: dict[str, Callable[[int], Any]] = {
    "int": lambda n: (n - 500) * 10**15,
    "float": lambda n: (n - 500) * 0.37,
    "str": lambda n: WORDS[n % len(WORDS)] + str(n // len(WORDS)),
    "long str": lambda n: "x" * (n % 100) + str(n),
    "bytes": lambda n: bytes([n % 3, 0, 255])[: n % 4] + n.to_bytes(2, "big"),
    "tuple": lambda n: (n % 40, str(n)),
    "deep tuple": lambda n: ((n % 10, n % 3), n),
    "numbers": mixed_number,
    "objects": Version,
    "texts of all kinds": lambda n: [str, Code, lambda m: f"\ud800{m}"][n % 3](n),
}


class Play:
    """A map and a sorted dict that are asked to do the same."""

    def __init__(self, made: Any, family: Callable[[int], Any], seed: int, span: int = 1000) -> None:
        self.map = made
        self.model: SortedDict = SortedDict()
        self.family = family
        self.random = random.Random(seed)
        self.span = span
        self.replaces = type(made).__name__ == "CSBTree"

    def key(self) -> Any:
        return self.family(self.random.randrange(self.span))

    def floor(self, key: Any) -> tuple[Any, Any] | None:
        at = self.model.bisect_right(key) - 1
        return self.model.peekitem(at) if at >= 0 else None

    def ceiling(self, key: Any) -> tuple[Any, Any] | None:
        at = self.model.bisect_left(key)
        return self.model.peekitem(at) if at < len(self.model) else None

    def range(self, start: Any, end: Any) -> list[tuple[Any, Any]]:
        return [(key, self.model[key]) for key in self.model.irange(start, end, (True, False))]

    def insert(self, key: Any, value: Any) -> None:
        want = self.model.get(key)
        there = key in self.model
        assert self.map.insert(key, value) == want
        if self.replaces or not there:
            self.model[key] = value

    def put(self, key: Any, value: Any) -> None:
        self.map[key] = value
        self.model[key] = value

    def setdefault(self, key: Any, value: Any) -> None:
        assert self.map.setdefault(key, value) == self.model.setdefault(key, value)

    def remove(self, key: Any) -> None:
        assert self.map.remove(key) == self.model.pop(key, None)

    def delete(self, key: Any) -> None:
        if key in self.model:
            del self.map[key]
            del self.model[key]
        else:
            with pytest.raises(KeyError) as missing:
                del self.map[key]
            assert missing.value.args == (key,)

    def look(self, key: Any) -> None:
        assert (key in self.map) == (key in self.model)
        assert self.map.get(key, "none") == self.model.get(key, "none")
        assert self.map.floor(key) == self.floor(key)
        assert self.map.ceiling(key) == self.ceiling(key)

    def look_around(self, key: Any, other: Any) -> None:
        start, end = (key, other) if not other < key else (other, key)
        want = self.range(start, end)
        assert self.map.range(start, end) == want
        assert list(self.map.irange(start, end)) == want
        assert list(self.map.irange(start, end, reverse=True)) == want[::-1]
        assert self.map.get_many([key, other, start]) == [self.model.get(k) for k in (key, other, start)]

    def update(self) -> None:
        pairs = [(self.key(), self.random.random()) for _ in range(self.random.randrange(40))]
        self.map.update(pairs)
        self.model.update(pairs)

    def step(self, growing: bool) -> None:
        """Do one thing; while growing, more is added than removed."""
        key, value = self.key(), self.random.random()
        adding = [self.insert, self.put, self.setdefault]
        dice = self.random.random()
        if dice < (0.6 if growing else 0.25):
            self.random.choice(adding)(key, value)
        elif dice < 0.85:
            self.random.choice([self.remove, self.delete])(key)
        elif dice < 0.98:
            self.look(key)
        elif dice < 0.99:
            self.look_around(key, self.key())
        elif growing:
            self.update()

    def check(self) -> None:
        """Compare everything."""
        self.map._verify()
        assert len(self.map) == len(self.model)
        assert self.map.items() == list(self.model.items())
        assert self.map.keys() == list(self.model)
        assert self.map.values() == list(self.model.values())
        assert list(self.map) == list(self.model.items())
        assert self.map.first() == (self.model.peekitem(0) if self.model else None)
        assert self.map.last() == (self.model.peekitem(-1) if self.model else None)
        assert list(map(type, self.map.keys())) == list(map(type, self.model))


# Comparable with each other, and leading through all modes that numbers have.
NUMBERS = st.one_of(
    st.integers(-20, 20),
    st.booleans(),
    st.floats(-20, 20).map(lambda number: round(number * 2) / 2),
    st.sampled_from([2**63, -(2**63), 2**63 - 1, -(2**63) - 1, 2**200, float("inf"), float("-inf"), -0.0]),
    st.fractions(-3, 3, max_denominator=2),
)
TEXTS = st.one_of(st.text(max_size=3), st.text(alphabet="a\0\ud800é", max_size=3), st.text(max_size=2).map(Code))


class MapMachine(RuleBasedStateMachine):
    """Steps on a map and a sorted dict whose keys change the mode again and again."""

    make: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self.play = Play(type(self).make(), lambda number: number, seed=0)
        self.numbers = True

    def fits(self, key: Any) -> bool:
        return isinstance(key, str) != self.numbers

    @rule(numbers=st.booleans())
    def begin_anew(self, numbers: bool) -> None:
        self.play.map.clear()
        self.play.model.clear()
        self.numbers = numbers

    @rule(key=st.one_of(NUMBERS, TEXTS), value=st.integers())
    def put(self, key: Any, value: int) -> None:
        if self.fits(key):
            self.play.put(key, value)
        elif self.play.model:
            with pytest.raises(TypeError):
                self.play.map[key] = value

    @rule(key=st.one_of(NUMBERS, TEXTS), value=st.integers())
    def setdefault(self, key: Any, value: int) -> None:
        if self.fits(key):
            self.play.setdefault(key, value)

    @rule(key=st.one_of(NUMBERS, TEXTS))
    def remove(self, key: Any) -> None:
        if self.fits(key):
            self.play.remove(key)
        elif self.play.model:
            with pytest.raises(TypeError):
                self.play.map.remove(key)

    @rule(key=st.one_of(NUMBERS, TEXTS), other=st.one_of(NUMBERS, TEXTS))
    def look(self, key: Any, other: Any) -> None:
        if self.fits(key) and self.fits(other):
            self.play.look(key)
            self.play.look_around(key, other)

    @invariant()
    def agree(self) -> None:
        self.play.check()
