"""Contexts of the write cache and of transactions."""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, which would be most of the time that our import takes
if TYPE_CHECKING:
    from types import TracebackType

    from ._kvault import Handle

    Setting = tuple[bool, bool, int, int, int]  # enabled, auto_flush, capacity, threshold, interval in ms


class CacheContext:
    """The write cache on inside a `with` block; leaving it flushes, then restores the setting before.

    A flush that fails raises; the writes stay pending and readable, and the setting is restored all the same.
    """

    def __init__(self, handle: Handle, setting: Setting) -> None:
        self._handle = handle
        self._setting = setting
        self._before: list[Setting] = []

    def __enter__(self) -> None:
        self._before.append(self._handle.cache_set(*self._setting))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._handle.flush()
        finally:
            self._handle.cache_set(*self._before.pop())


class LockedCache:
    """Nothing is flushed inside a `with` block, which belongs to one thread; leaving it flushes once."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def __enter__(self) -> None:
        self._handle.cache_lock()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._handle.cache_unlock()


class Transaction:
    """A transaction inside a `with` block, which belongs to one thread; inside another one, a savepoint.

    Leaving it commits; leaving it with an exception rolls back.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def __enter__(self) -> None:
        self._handle.begin()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            self._handle.commit()
        else:
            self._handle.rollback()
