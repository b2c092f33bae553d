"""A progress bar for long work: on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
import time
from typing import IO, Any, Literal

TYPE_CHECKING = False  # see cache.py
if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, ProgressColumn, TaskID
    from typing_extensions import Self

Unit = Literal["bytes", "items"]
PATIENCE_S, REFRESH_S = 0.5, 0.1


def _columns(unit: Unit, total: int | None) -> list[ProgressColumn]:
    from rich import progress

    shown: list[ProgressColumn] = [progress.TextColumn("{task.description}", markup=False), progress.BarColumn()]
    if total is None:
        return [*shown, progress.TimeElapsedColumn()]
    if unit == "bytes":
        return [*shown, progress.DownloadColumn(), progress.TransferSpeedColumn(), progress.TimeRemainingColumn()]
    return [*shown, progress.MofNCompleteColumn(), progress.TimeRemainingColumn()]


class Bar:
    """Shows how far some work has come, as a context.

    What takes less than a moment shows nothing. Work whose `total` is None tells nothing meanwhile either: only
    that it goes on is shown.
    """

    def __init__(self, what: str, total: int | None, unit: Unit = "items", *, shown: bool = True) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._done = 0
        self._shown = shown and sys.stderr.isatty()
        self._next_look = time.monotonic() + PATIENCE_S

    def __enter__(self) -> Self:
        if self._total is None:
            self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _show(self) -> None:
        if self._progress is not None or not self._shown:
            return
        from rich.console import Console
        from rich.progress import Progress

        columns = _columns(self._unit, self._total)
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(self._what, total=self._total)
        self._progress.start()

    def advance(self, amount: int = 1) -> None:
        self.reach(self._done + amount)

    def reach(self, done: int, total: int | None = None) -> None:
        """Tell how much is done; cheap enough to be called for each key."""
        self._done = done
        if not self._shown or time.monotonic() < self._next_look:
            return
        self._show()
        self._next_look = time.monotonic() + REFRESH_S
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def reading(self, file: IO[bytes]) -> CountedReader:
        """Return a reader of the file that advances this."""
        return CountedReader(file, self)


class CountedReader:
    """A binary file that tells a bar what is read from it."""

    def __init__(self, file: IO[bytes], bar: Bar) -> None:
        self._file, self._bar = file, bar

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._bar.advance(len(data))
        return data

    def readline(self, size: int = -1) -> bytes:
        line = self._file.readline(size)
        self._bar.advance(len(line))
        return line


class CountedWriter:
    """A binary file that tells a bar what is written to it."""

    def __init__(self, file: IO[Any], bar: Bar) -> None:
        self._file, self._bar = file, bar

    def write(self, data: bytes) -> int:
        count: int = self._file.write(data)
        self._bar.advance(count)
        return count
