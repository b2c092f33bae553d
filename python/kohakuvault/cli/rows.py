"""Columns side by side as rows: of CSV, or of JSON Lines with an object or a bare element a line.

What comes in goes behind what the columns hold, in one transaction: all rows or none. A column that is missing is
made, with the dtype that was asked for, or the one that the first rows fit.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO, Any, NamedTuple

from ..columns import ColumnBase, ColumnVault
from ..errors import InvalidArgument, NotFound, SchemaError
from ..vault import Vault
from .columns import opened
from .elements import cell_reader, cell_writer, dtype_of_cells, dtype_of_values, from_json, to_json
from .failure import Failure, one_line
from .jsonlines import Line, LineReader, read_lines
from .output import json_line
from .progress import Bar

BATCH_ROWS, BATCH_CHARACTERS = 2000, 8 << 20
CELL_CHARACTERS_MAX = 64 << 20
WRONG = (ValueError, TypeError, LookupError, OverflowError, RecursionError)  # how a value says that it is none


class Row(NamedTuple):
    """One row before it is converted: where it stands, for words about it, its fields, and about how large it is."""

    where: str
    fields: list[Any]
    size: int


class Form(NamedTuple):
    """How the fields of rows become elements: a dtype for some fields, and what converts fields to a dtype."""

    guess: Callable[[list[Any]], str]
    converter: Callable[[str], Callable[[Any], Any]]


CELLS = Form(dtype_of_cells, cell_reader)
VALUES = Form(dtype_of_values, lambda _dtype: from_json)
RECORDS = Form(lambda _values: "msgpack", lambda _dtype: from_json)


# ---- reading rows ----


def _lines_of(reader: LineReader, name: str) -> Iterator[str]:
    """Yield the lines of a reader as text, of bounded length."""
    number = 0
    while line := reader.readline(CELL_CHARACTERS_MAX + 1):
        number += 1
        if len(line) > CELL_CHARACTERS_MAX:
            raise Failure(f"{name}, line {number}: longer than {CELL_CHARACTERS_MAX:,} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as exc:
            raise Failure(f"{name}, line {number}: no UTF-8: {exc.reason} at byte {exc.start}") from None


def csv_rows(reader: LineReader, name: str) -> tuple[list[str], Iterator[Row]]:
    """Return the names in the first line, and the rows behind it."""
    csv.field_size_limit(CELL_CHARACTERS_MAX)
    lines = csv.reader(_lines_of(reader, name), strict=True)
    header = next(_cells(lines, name), Row("", [], 0)).fields
    if not header:
        raise Failure(f"{name}: no line with the names of the columns")
    twice = next((it for it in header if header.count(it) > 1), None)
    if twice is not None:
        raise Failure(f'{name}: two columns are called "{one_line(twice)}"')
    return header, _checked(_cells(lines, name), len(header))


def _cells(lines: Any, name: str) -> Iterator[Row]:
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as exc:
            raise Failure(f"{name}, line {lines.line_num}: {exc}") from None
        if cells:
            yield Row(f"{name}, line {lines.line_num}", cells, sum(map(len, cells)))


def _checked(rows: Iterator[Row], width: int) -> Iterator[Row]:
    for row in rows:
        if len(row.fields) != width:
            raise Failure(f"{row.where}: {len(row.fields)} cells, where the first line has {width}")
        yield row


def object_rows(reader: LineReader, name: str) -> tuple[list[str], Iterator[Row]]:
    """Return the names in the first object, and a row for each."""
    lines = read_lines(reader, name)
    first = next(lines, None)
    if first is None:
        raise Failure(f"{name}: no line with an object")
    names = list(_object(first))
    return names, (_row_of(line, names) for line in chain([first], lines))


def _object(line: Line) -> dict[str, Any]:
    if not isinstance(line.value, dict) or not line.value:
        raise Failure(f"{line.where}: no object with a field for each column")
    return line.value


def _row_of(line: Line, names: list[str]) -> Row:
    record = _object(line)
    odd = next((it for it in [*record, *names] if (it in record) != (it in names)), None)
    if odd is not None:
        raise Failure(f'{line.where}: the field "{one_line(odd)}" is not in every line')
    return Row(line.where, [record[it] for it in names], line.size)


def element_rows(reader: LineReader, name: str) -> Iterator[Row]:
    """Yield a row of one field for each line."""
    return (Row(line.where, [line.value], line.size) for line in read_lines(reader, name))


# ---- into columns ----


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        if len(batch) == BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _column_for(columns: ColumnVault, name: str, dtype: str | None, form: Form, fields: list[Any]) -> ColumnBase:
    """Return the column that a field goes to, made if it is missing."""
    if name not in columns:
        made: ColumnBase = columns.create_column(name, dtype or form.guess(fields))
        return made
    column: ColumnBase = columns[name]
    if dtype is not None and column.dtype != dtype:
        raise InvalidArgument(f'column "{one_line(name)}" holds {column.dtype}, not {dtype}')
    return column


def _append(column: ColumnBase, rows: list[Row], place: int, form: Form) -> None:
    """Convert one field of some rows and add them to a column; name the first row that does not fit."""
    convert = form.converter(column.dtype)
    values = []
    row = rows[0]
    try:
        for row in rows:
            values.append(convert(row.fields[place]))
    except WRONG as exc:
        raise _misfit(row, column, exc) from None
    try:
        column.extend(values)
    except (*WRONG, SchemaError):
        for row, value in zip(rows, values, strict=True):  # to find out which; the transaction undoes them all
            try:
                column.append(value)
            except (*WRONG, SchemaError) as exc:
                raise _misfit(row, column, exc) from None
        raise


def _misfit(row: Row, column: ColumnBase, exc: BaseException) -> Failure:
    words = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
    return Failure(f'{row.where}: column "{one_line(column.name)}" holds {column.dtype}: {words}')


def fill_columns(vault: Vault, names: list[str], rows: Iterator[Row], form: Form, dtypes: dict[str, str]) -> int:
    """Add rows to the columns of these names; return how many.

    Raises
    ------
    InvalidArgument
        If a dtype is given for a field that no row has, or is not that of the column that is there.
    """
    stray = next((it for it in dtypes if it not in names), None)
    if stray is not None:
        raise InvalidArgument(f'a dtype is given for "{one_line(stray)}", which is no field')
    columns = vault.columns()
    added = 0
    with vault.transaction():
        filled: list[ColumnBase] = []
        for batch in _batches(rows):
            filled = filled or [
                _column_for(columns, name, dtypes.get(name), form, [row.fields[place] for row in batch])
                for place, name in enumerate(names)
            ]
            for place, column in enumerate(filled):
                _append(column, batch, place, form)
            added += len(batch)
    return added


# ---- out of columns ----


def chosen(vault: Vault, names: tuple[str, ...]) -> list[ColumnBase]:
    """Return the columns of these names, or all; they make rows only if they are of one length."""
    columns = vault.columns()
    found = [opened(columns, name) for name in names or columns]
    if not found:
        raise NotFound(None, "there are no columns")
    for column in found:
        if len(column) != len(found[0]):
            lengths = ", ".join(f'"{one_line(it.name)}" has {len(it):,}' for it in (found[0], column))
            raise InvalidArgument(f"columns of different lengths make no rows: {lengths}; --column chooses")
    return found


def _rows_of(found: list[ColumnBase], shown: bool) -> Iterator[tuple[Any, ...]]:
    with Bar("exporting", len(found[0]), shown=shown) as bar:
        for row in zip(*found, strict=True):
            yield row
            bar.advance()


class Utf8Writer:
    """A binary file that takes text; unlike `io.TextIOWrapper` it does not close the file in the end."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def write(self, text: str) -> int:
        return self._out.write(text.encode())


def write_csv(found: list[ColumnBase], out: IO[bytes], *, shown: bool) -> int:
    """Write columns as CSV with their names in the first line; return how many rows."""
    writer = csv.writer(Utf8Writer(out), lineterminator="\n")
    writer.writerow([column.name for column in found])
    cells = [cell_writer(column.dtype) for column in found]
    for row in _rows_of(found, shown):
        writer.writerow([cell(value) for cell, value in zip(cells, row, strict=True)])
    return len(found[0])


def write_objects(found: list[ColumnBase], out: IO[bytes], *, shown: bool) -> int:
    """Write columns as JSON Lines, an object a row; return how many."""
    names = [column.name for column in found]
    for row in _rows_of(found, shown):
        record = {name: to_json(value) for name, value in zip(names, row, strict=True)}
        out.write(json_line(record).encode() + b"\n")
    return len(found[0])


def write_elements(column: ColumnBase, out: IO[bytes], *, shown: bool) -> int:
    """Write one column as JSON Lines, an element a line; return how many."""
    for (value,) in _rows_of([column], shown):
        out.write(json_line(to_json(value)).encode() + b"\n")
    return len(column)
