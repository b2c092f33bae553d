"""Views of a range of keys: what `KVault.keys`, `values` and `items` give."""

from __future__ import annotations

import sys
from collections.abc import ItemsView, KeysView, ValuesView

from .errors import InvalidArgument, WrongType

TYPE_CHECKING = False  # see cache.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Literal

    from typing_extensions import Buffer

    from ._kvault import Scan, Store
    from .kv import KVault

    Key = str | Buffer


def refuse_numpy_scalar(value: object, wanted: str) -> None:
    """Raise WrongType for a number of NumPy's, which offers its memory as a buffer where somebody meant the number."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and not isinstance(value, bytes):
        raise WrongType(f"{wanted}, not numpy.{type(value).__name__}")


def as_bytes(key: Key) -> bytes:
    """Return a key as the vault keeps it."""
    if isinstance(key, str):
        return str.encode(key)
    refuse_numpy_scalar(key, "a key is str or bytes-like")
    try:
        return bytes(memoryview(key))
    except TypeError:
        raise WrongType(f"a key is str or bytes-like, not {type(key).__name__}") from None


class Range:
    """Which keys, and in which direction; checked when it is made."""

    def __init__(
        self, prefix: Key | None, start: Key | None, stop: Key | None, reverse: bool, limit: int | None
    ) -> None:
        if limit is not None and limit < 0:
            raise InvalidArgument(f"limit is {limit}, want None or 0 and more")
        self.prefix = None if prefix is None else as_bytes(prefix)
        self.start = None if start is None else as_bytes(start)
        self.stop = None if stop is None else as_bytes(stop)
        self.reverse = reverse
        self.limit = limit

    def scan(self, store: Store, kind: Literal["k", "v", "i"]) -> Scan[Any]:
        return store.scan(kind, self.prefix, self.start, self.stop, self.reverse, self.limit)

    def is_everything(self) -> bool:
        return self.prefix is None and self.start is None and self.stop is None and self.limit is None

    def holds(self, key: bytes) -> bool:
        """Whether the bounds, the limit aside, hold a key."""
        return (
            (self.prefix is None or key.startswith(self.prefix))
            and (self.start is None or self.start <= key)
            and (self.stop is None or key < self.stop)
        )


class _RangeView:
    """Iteration and length of a range; each iteration is a scan of its own, in bounded memory."""

    _mapping: KVault  # the name that the classes of collections.abc use
    _range: Range

    def __init__(self, mapping: KVault, limits: Range) -> None:
        self._mapping = mapping
        self._range = limits
        self._newest: Scan[Any] | None = None  # the iterator made last

    def _scan(self, kind: Literal["k", "v", "i"]) -> Iterator[Any]:
        self._newest = self._range.scan(self._mapping, kind)
        return self._newest

    def _scan_reversed(self, kind: Literal["k", "v", "i"]) -> Iterator[Any]:
        return self._opposite().scan(self._mapping, kind)

    def _opposite(self) -> Range:
        """The same keys from the other end. With a limit, its last key is looked for first: one pass over the keys."""
        it = self._range
        if it.limit is None:
            return Range(it.prefix, it.start, it.stop, not it.reverse, None)
        count, last = 0, b""
        for key in self._scan("k"):
            count, last = count + 1, key
        if it.reverse:
            return Range(it.prefix, last, it.stop, False, count)
        return Range(it.prefix, it.start, last + b"\0", True, count)

    def __len__(self) -> int:
        """O(1) for the whole table; else one pass over the keys."""
        if self._range.is_everything():
            return len(self._mapping)
        # `list(view)` makes an iterator, then asks for the length: a short range is read once for both.
        newest, self._newest = self._newest, None
        known = newest.length() if newest is not None else None
        return self._range.scan(self._mapping, "k").count() if known is None else known

    def _holds(self, key: Key) -> bool:
        if self._range.limit is not None:
            wanted = as_bytes(key)
            return any(wanted == found for found in self._scan("k"))
        return key in self._mapping and self._range.holds(as_bytes(key))


class Keys(_RangeView, KeysView[bytes]):
    """The keys of a range, in byte order; a set."""

    def __iter__(self) -> Iterator[bytes]:
        return self._scan("k")

    def __reversed__(self) -> Iterator[bytes]:
        return self._scan_reversed("k")

    def __contains__(self, key: Any) -> bool:
        return self._holds(key)

    @classmethod
    def _from_iterable(cls, items: Iterable[Any]) -> set[Any]:
        return set(items)

    def __repr__(self) -> str:
        return f"<keys of {self._mapping!r}>"


class Values(_RangeView, ValuesView[bytes]):
    """The values of a range, in the order of their keys."""

    def __iter__(self) -> Iterator[bytes]:
        return self._scan("v")

    def __reversed__(self) -> Iterator[bytes]:
        return self._scan_reversed("v")

    def __contains__(self, value: object) -> bool:
        """One pass over the values."""
        return any(value == found for found in self)

    def __repr__(self) -> str:
        return f"<values of {self._mapping!r}>"


class Items(_RangeView, ItemsView[bytes, bytes]):
    """The (key, value) pairs of a range, in the order of the keys; a set."""

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._scan("i")

    def __reversed__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._scan_reversed("i")

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        return self._holds(key) and bool(self._mapping.get(key) == value)

    @classmethod
    def _from_iterable(cls, items: Iterable[Any]) -> set[Any]:
        return set(items)

    def __repr__(self) -> str:
        return f"<items of {self._mapping!r}>"
