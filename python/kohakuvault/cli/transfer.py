"""Much at once: `import` and `export`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import click

from ..errors import InvalidArgument
from ..vault import Vault
from . import rows
from .columns import opened
from .complete import complete_column
from .folder import export_folder, import_folder
from .jsonlines import LineReader, export_lines, import_lines
from .keytext import from_text
from .opening import any_table, check_apart, existing_table, file_argument, reading, table_option, writing
from .output import count, json_option, opened_output, print_json, print_lines
from .progress import Bar

FORMATS = ["folder", "jsonl", "csv"]
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
PIPE = "-"

format_option = click.option(
    "--format", "given", type=click.Choice(FORMATS), help="Needed only where no suffix tells it."
)
prefix_option = click.option(
    "--prefix", default="", metavar="KEY", help="Begins every key in FILE, and is left out outside it."
)


def _format_of(path: Path, given: str | None, is_folder: bool) -> str:
    if given is not None:
        return given
    if is_folder:
        return "folder"
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InvalidArgument(f"{path}: its suffix tells no format; --format does")
    return kind


def _tell(as_json: bool, done: str, counts: dict[str, int]) -> None:
    if as_json:
        print_json(counts)
    else:
        print_lines([f"{done} " + ", ".join(count(number, noun[:-1]) for noun, number in counts.items())])


def _check_use(kind: str, to_columns: bool, table: str | None, prefix: str) -> None:
    if to_columns and kind == "folder":
        raise click.UsageError("a folder holds the values of a table; columns go with CSV and JSON Lines")
    if to_columns and (table is not None or prefix):
        raise click.UsageError("--table and --prefix concern keys, and columns have none")


# ---- import ----


def _dtypes(texts: tuple[str, ...], records: str | None) -> dict[str, str]:
    """Return the dtypes that were asked for, by column."""
    found = {}
    for text in texts:
        name, separator, dtype = text.rpartition("=")
        if not separator and records is None:
            raise InvalidArgument(f"--dtype {text}: want COLUMN=DTYPE")
        found[name if separator else str(records)] = dtype
    return found


@contextlib.contextmanager
def _lines(file: Path, source: Path) -> Iterator[tuple[Vault, LineReader]]:
    """Give the vault to write to and a reader of the source, whose progress is shown."""
    with contextlib.ExitStack() as stack:
        stream: IO[bytes] = sys.stdin.buffer
        size = None
        if str(source) != PIPE:
            check_apart(file, source)
            stream, size = stack.enter_context(source.open("rb")), source.stat().st_size
        vault = stack.enter_context(writing(file, create=True))
        bar = stack.enter_context(Bar(f"importing {source}", size, "bytes"))
        yield vault, bar.reading(stream)


def _import_rows(file: Path, source: Path, kind: str, records: str | None, dtypes: dict[str, str]) -> dict[str, int]:
    with _lines(file, source) as (vault, reader):
        if records is not None:
            form, names, found = rows.RECORDS, [records], rows.element_rows(reader, str(source))
        elif kind == "csv":
            form, (names, found) = rows.CELLS, rows.csv_rows(reader, str(source))
        else:
            form, (names, found) = rows.VALUES, rows.object_rows(reader, str(source))
        added = rows.fill_columns(vault, names, found, form, dtypes)
    return {"rows": added, "columns": len(names)}


@click.command("import")
@file_argument
@click.argument("source", type=click.Path(path_type=Path))
@table_option
@prefix_option
@click.option("--columns", "as_columns", is_flag=True, help="Each field of the objects in JSON Lines goes to a column.")
@click.option("--records", metavar="COLUMN", help="Each line of JSON Lines is an element of this column.")
@click.option(
    "--dtype",
    "dtypes",
    multiple=True,
    metavar="COLUMN=DTYPE",
    help="For a column that is made; may be given several times.",
)
@format_option
@json_option
def import_command(
    file: Path,
    source: Path,
    table: str | None,
    prefix: str,
    as_columns: bool,
    records: str | None,
    dtypes: tuple[str, ...],
    given: str | None,
    as_json: bool,
) -> None:
    """Bring in a folder of files, JSON Lines or CSV.

    Of a folder each file becomes a value; its key is its path below the folder, with `/` between the parts. Memory
    stays small, however large the files. What was stored before a failure stays.

    JSON Lines (a file, or `-`) hold an object a line: "key" and "value" as text, or "key_hex" in hexadecimal and
    "value_base64".

    CSV goes into columns, whose names are in its first line, and so do JSON Lines with --columns or --records: behind
    what is there. A column that is missing is made, with the dtype that the first rows fit, or that of --dtype.
    All lines are stored, or none.

    \b
    kohakuvault import media.kv photos --prefix photos/
    kohakuvault import data.kv weather.csv --dtype time=u32
    kohakuvault import data.kv log.jsonl --records log
    """
    begin = from_text(prefix)
    kind = _format_of(source, given, source.is_dir())
    to_columns = kind == "csv" or as_columns or records is not None
    _check_use(kind, to_columns, table, prefix)
    if dtypes and not to_columns:
        raise click.UsageError("--dtype concerns columns: CSV, or JSON Lines with --columns or --records")
    if to_columns:
        counts = _import_rows(file, source, kind, records, _dtypes(dtypes, records))
    elif kind == "folder":
        if not source.is_dir():
            raise InvalidArgument(f"{source} is no folder")
        with writing(file, create=True) as vault:
            counts = import_folder(any_table(vault, table), source, begin)
    else:
        with _lines(file, source) as (vault, reader):
            counts = import_lines(any_table(vault, table), reader, str(source), begin)
    _tell(as_json, "imported", counts)


# ---- export ----


def _export_rows(
    vault: Vault, out: Any, kind: str, names: tuple[str, ...], records: str | None, shown: bool
) -> dict[str, int]:
    if records is not None:
        return {"rows": rows.write_elements(opened(vault.columns(), records), out, shown=shown), "columns": 1}
    found = rows.chosen(vault, names)
    write = rows.write_csv if kind == "csv" else rows.write_objects
    return {"rows": write(found, out, shown=shown), "columns": len(found)}


@click.command("export")
@file_argument
@click.argument("dest", type=click.Path(path_type=Path))
@table_option
@prefix_option
@click.option("--columns", "as_columns", is_flag=True, help="All columns as JSON Lines, an object a row.")
@click.option(
    "--column",
    "names",
    multiple=True,
    metavar="COLUMN",
    shell_complete=complete_column,
    help="Only this column; may be given several times.",
)
@click.option(
    "--records", metavar="COLUMN", shell_complete=complete_column, help="This column as JSON Lines, an element a line."
)
@format_option
@json_option
def export_command(
    file: Path,
    dest: Path,
    table: str | None,
    prefix: str,
    as_columns: bool,
    names: tuple[str, ...],
    records: str | None,
    given: str | None,
    as_json: bool,
) -> None:
    """Write a table or columns to a folder, to JSON Lines or to CSV.

    A folder gets a file for each value, at the path that is its key; DEST must be missing or empty. A key that cannot
    be such a path is refused before anything is written. JSON Lines (a file, or `-`) take every key, and values up to
    32 MiB.

    CSV takes columns, and so do JSON Lines with --columns, --column or --records; columns side by side have to be
    of one length. Whatever is written appears only when it is complete; a file that is there is replaced then.

    \b
    kohakuvault export media.kv copies --prefix photos/
    kohakuvault export data.kv - --records log
    kohakuvault export data.kv weather2.csv --column time --column temp
    """
    begin = from_text(prefix)
    to_pipe = str(dest) == PIPE
    kind = _format_of(dest, given or ("jsonl" if to_pipe else None), dest.is_dir() or not dest.suffix)
    of_columns = kind == "csv" or as_columns or bool(names) or records is not None
    _check_use(kind, of_columns, table, prefix)
    if kind == "csv" and records is not None:
        raise click.UsageError("--records writes JSON Lines; --column chooses what CSV takes")
    check_apart(file, dest)
    with reading(file) as vault:
        if of_columns:
            with opened_output(dest) as out:
                counts = _export_rows(vault, out, kind, names, records, not to_pipe)
        elif kind == "folder":
            counts = export_folder(existing_table(vault, table), dest, begin)
        else:
            kv = existing_table(vault, table)
            with opened_output(dest) as out:
                counts = export_lines(kv, out, begin, shown=not to_pipe)
    if not to_pipe:
        _tell(as_json, "exported", counts)


COMMANDS: list[Any] = [import_command, export_command]
