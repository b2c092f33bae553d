"""Columns: `columns`, `head`, `compact`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..columns import ColumnBase, ColumnVault, VarSizeColumn
from ..errors import InvalidArgument, NotFound
from .complete import complete_column
from .elements import cell_writer, kind_of, to_json
from .failure import one_line
from .keytext import to_text
from .opening import file_argument, reading, writing
from .output import count, json_line, json_option, print_json, print_lines, print_table
from .progress import Bar

SHOWN_CHARACTERS = 60


def opened(columns: ColumnVault, name: str) -> ColumnBase:
    """Return a column; the elements of one whose dtype is a program's own are bytes here."""
    if name not in columns:
        raise NotFound(name, f'there is no column "{one_line(name)}"')
    try:
        column: ColumnBase = columns[name]
    except InvalidArgument:
        dtype = next(dtype for found, dtype, _ in columns.list_columns() if found == name)
        column = columns.ensure(name, dtype, pack=bytes, unpack=bytes)
    return column


def describe(columns: ColumnVault) -> list[dict[str, Any]]:
    """Return what there is to say of every column."""
    found = []
    for name, dtype, length in columns.list_columns():
        column = opened(columns, name)
        found.append(
            {
                "column": name,
                "dtype": dtype,
                "length": length,
                "bytes": column.nbytes,
                "slack_bytes": column.slack_bytes,
            }
        )
    return found


def print_columns(found: list[dict[str, Any]]) -> None:
    print_table(
        ["column", "dtype", "length", "bytes", "slack bytes"],
        [[one_line(it["column"]), one_line(it["dtype"]), it["length"], it["bytes"], it["slack_bytes"]] for it in found],
    )


@click.command()
@file_argument
@json_option
def columns(file: Path, as_json: bool) -> None:
    """List the columns.

    Slack bytes are those that edits left unused; `compact` gives them back.
    """
    with reading(file) as vault:
        found = describe(vault.columns())
    if as_json:
        print_lines(map(json_line, found))
    else:
        print_columns(found)


# ---- head ----


def _shown(value: Any, dtype: str) -> str:
    is_text = isinstance(value, str) and kind_of(dtype) == "str"
    text = to_text(value.encode()) if is_text else one_line(cell_writer(dtype)(value))
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"


@click.command()
@file_argument
@click.argument("names", metavar="COLUMN...", nargs=-1, required=True, shell_complete=complete_column)
@click.option(
    "-n", "--count", "amount", type=click.IntRange(0), metavar="N", default=10, show_default=True, help="How many."
)
@click.option("--start", type=int, metavar="N", default=0, show_default=True, help="The first; below 0: from the end.")
@json_option
def head(file: Path, names: tuple[str, ...], amount: int, start: int, as_json: bool) -> None:
    """Print the first elements of columns side by side.

    Long ones are cut short. With --json each line is an object with the index and the whole elements; what JSON has no
    word for is written as `export` does.
    """
    with reading(file) as vault:
        found = {name: opened(vault.columns(), name) for name in names}
        first = max(start + max(map(len, found.values())), 0) if start < 0 else start
        read = {name: column[first : first + amount] for name, column in found.items()}
        dtypes = {name: column.dtype for name, column in found.items()}
    rows = range(max(map(len, read.values())))
    if as_json:
        print_lines(
            json_line({"index": first + row, **{name: to_json(it[row]) for name, it in read.items() if row < len(it)}})
            for row in rows
        )
        return
    print_table(
        ["index", *map(one_line, found)],
        [
            [first + row, *(_shown(it[row], dtypes[name]) if row < len(it) else "" for name, it in read.items())]
            for row in rows
        ],
    )


# ---- compact ----


@click.command()
@file_argument
@click.argument("names", metavar="[COLUMN]...", nargs=-1, shell_complete=complete_column)
@json_option
def compact(file: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Rewrite columns without what edits left unused.

    Those whose elements have any size: all of them, unless some are named; each in one transaction. Later writes
    take the room: the file does not become smaller.
    """
    with writing(file) as vault:
        found = [opened(vault.columns(), name) for name in names or vault.columns()]
        chosen = [column for column in found if isinstance(column, VarSizeColumn)]
        freed = 0
        with Bar("compacting", len(chosen)) as bar:
            for column in chosen:
                freed += column.compact()
                bar.advance()
        vault.checkpoint()
    if as_json:
        print_json({"columns": len(chosen), "bytes": freed})
    else:
        print_lines([f"compacted {count(len(chosen), 'column')}, {count(freed, 'byte')} given back"])


COMMANDS = [columns, head, compact]
