"""Much at once: `import` and `export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click

from ..errors import InvalidArgument
from .folder import export_folder, import_folder
from .jsonlines import export_lines, import_lines
from .keytext import from_text
from .opening import any_table, existing_table, file_argument, reading, table_option, writing
from .output import count, json_option, opened_output, print_json, print_lines
from .progress import Bar

FORMATS = ["folder", "jsonl"]
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl"}

format_option = click.option(
    "--format", "given", type=click.Choice(FORMATS), help="What it is; by itself a folder, or told by the suffix."
)
prefix_option = click.option(
    "--prefix", default="", metavar="KEY", help="All keys in FILE begin with this, those outside without it."
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


def _tell(as_json: bool, done: str, counts: dict[str, int], where: Path) -> None:
    if as_json:
        print_json(counts)
    elif str(where) != "-":
        print_lines([f"{done} " + ", ".join(count(number, noun[:-1]) for noun, number in counts.items())])


# ---- import ----


def _import_lines_from(file: Path, table: str | None, source: Path, prefix: bytes) -> tuple[int, int]:
    def store(stream: IO[bytes], size: int | None) -> tuple[int, int]:
        with writing(file, create=True) as vault, Bar(f"importing {source}", size, "bytes") as bar:
            return import_lines(any_table(vault, table), bar.reading(stream), str(source), prefix)

    if str(source) == "-":
        return store(sys.stdin.buffer, None)
    with source.open("rb") as stream:
        return store(stream, source.stat().st_size)


@click.command("import")
@file_argument
@click.argument("source", type=click.Path(path_type=Path))
@table_option
@prefix_option
@format_option
@json_option
def import_command(file: Path, source: Path, table: str | None, prefix: str, given: str | None, as_json: bool) -> None:
    """Bring in a folder of files or JSON Lines.

    Of a folder each file becomes a value; its key is its path below the folder, with `/` between the parts. Memory
    stays small, however large the files. What was stored before a failure stays.

    JSON Lines (a file, or `-`) hold an object a line: "key" and "value" as text, or "key_hex" in hexadecimal and
    "value_base64". All lines are stored, or none.
    """
    begin = from_text(prefix)
    if _format_of(source, given, source.is_dir()) == "folder":
        if not source.is_dir():
            raise InvalidArgument(f"{source} is no folder")
        with writing(file, create=True) as vault:
            values, size = import_folder(any_table(vault, table), source, begin)
    else:
        values, size = _import_lines_from(file, table, source, begin)
    _tell(as_json, "imported", {"values": values, "bytes": size}, Path())


# ---- export ----


@click.command("export")
@file_argument
@click.argument("dest", type=click.Path(path_type=Path))
@table_option
@prefix_option
@format_option
@json_option
def export_command(file: Path, dest: Path, table: str | None, prefix: str, given: str | None, as_json: bool) -> None:
    """Write a table to a folder of files or as JSON Lines.

    A folder gets a file for each value, at the path that is its key; DEST must be missing or empty. A key that cannot
    be such a path is refused before anything is written. JSON Lines (a file, or `-`) take every key, and values up to
    32 MiB. Either appears only when it is complete.
    """
    begin = from_text(prefix)
    is_folder = dest.is_dir() or (not dest.suffix and str(dest) != "-")
    kind = _format_of(dest, given or ("jsonl" if str(dest) == "-" else None), is_folder)
    with reading(file) as vault:
        kv = existing_table(vault, table)
        if kind == "folder":
            values, size = export_folder(kv, dest, begin)
        else:
            with opened_output(dest) as out:
                values, size = export_lines(kv, out, begin, shown=str(dest) != "-")
    _tell(as_json and str(dest) != "-", "exported", {"values": values, "bytes": size}, dest)


COMMANDS: list[Any] = [import_command, export_command]
