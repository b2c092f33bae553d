"""Contexts of the write cache and of transactions."""

from __future__ import annotations

from .errors import InvalidArgument

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


class WriteCache:
    """The write cache of a handle: the base of everything that has one."""

    _handle: Handle

    def enable_cache(
        self,
        *,
        cap_bytes: int = 64 << 20,
        flush_threshold: int | None = None,
        flush_interval: float | None = None,
    ) -> None:
        """Let writes through this handle be pending: every read sees them, a crash loses them.

        Parameters
        ----------
        cap_bytes : int
            Keys and values pending at most; a write that would exceed it flushes first.
        flush_threshold : int, optional
            A write that reaches it flushes everything; a quarter of `cap_bytes` if not given.
        flush_interval : float, optional
            Flush in the background after so many seconds without a write.

        Raises
        ------
        InvalidArgument
            If a number is out of range, or the threshold is above the capacity.
        """
        if flush_interval is None:
            interval_ms = 0
        elif 0 < flush_interval <= 86400:
            interval_ms = max(1, round(flush_interval * 1000))
        else:
            raise InvalidArgument(f"flush_interval is {flush_interval} s, want more than 0, up to 86400")
        threshold = cap_bytes // 4 if flush_threshold is None else flush_threshold
        self._handle.cache_set(True, True, cap_bytes, threshold, interval_ms)

    def disable_cache(self) -> None:
        """Flush what is pending, then write through again; a flush that fails raises and leaves the cache on."""
        self._handle.flush()
        self._handle.cache_set(False, True, 0, 0, 0)

    def flush_cache(self) -> int:
        """Commit everything pending in the file, in one transaction; return how many entries.

        One that fails raises; nothing is dropped. Inside this thread's `lock_cache()` it does nothing.
        """
        return self._handle.flush()

    def cache(
        self, cap_bytes: int = 64 << 20, flush_threshold: int | None = None, auto_flush: bool = True
    ) -> CacheContext:
        """Return a context with the write cache on; leaving it flushes and restores the setting before.

        `auto_flush=False`: no threshold inside; the capacity still holds.
        """
        threshold = cap_bytes // 4 if flush_threshold is None else flush_threshold
        return CacheContext(self._handle, (True, auto_flush, cap_bytes, threshold, 0))

    def lock_cache(self) -> LockedCache:
        """Return a context in which this thread's writes are pending and nothing is flushed; leaving it flushes once.

        What cannot be pending raises, at the capacity too; nothing is dropped. Other threads' commits wait.
        """
        return LockedCache(self._handle)
