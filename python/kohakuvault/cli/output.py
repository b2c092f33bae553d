"""What the commands print: lines, aligned tables, JSON; and files that appear when they are complete."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import click

from ..errors import KohakuVaultError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_lines(lines: Iterable[str]) -> None:
    """Print in UTF-8, whatever the terminal says, so that a pipe carries what a key holds."""
    out = sys.stdout.buffer
    for line in lines:
        out.write(line.encode("utf-8", "surrogateescape") + b"\n")
    out.flush()


json_line = json.JSONEncoder(ensure_ascii=False).encode  # made once: json.dumps would make one for each line


def print_json(record: object) -> None:
    print_lines([json.dumps(record, ensure_ascii=False, indent=2)])


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below a head, aligned: numbers to the right, with commas."""
    cells = [list(head)]
    right = [True] * len(head)
    for row in rows:
        cells.append([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row])
        right = [before and isinstance(cell, int) for before, cell in zip(right, row, strict=True)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print_lines(
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )


def count(number: int, noun: str) -> str:
    """Return "1 key", "1,000 keys"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let a failure of the system to write to a file, which names none by itself, name this one."""
    try:
        yield
    except OSError as exc:
        if exc.filename is None and not isinstance(exc, KohakuVaultError):
            exc.filename = str(path)
        raise


@contextlib.contextmanager
def complete_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that is at `path` only once all went well; what was there stays until then.

    A device or a pipe, which cannot be replaced, is written to as it is; a link stays one.
    """
    path = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            with path.open("wb") as device:
                yield device
            return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), _mode_of(path))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _mode_of(path: Path) -> int:
    """The permissions of the file that is there, or those that a new one would get."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextlib.contextmanager
def opened_output(path: Path | None) -> Iterator[IO[Any]]:
    """Standard output for None and `-`, else a file as `complete_file` makes it."""
    if path is None or str(path) == "-":
        out = sys.stdout.buffer
        yield out
        out.flush()
    else:
        with complete_file(path) as file:
            yield file
