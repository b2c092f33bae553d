"""The file as a whole: `info`, `stats`, `verify`, `backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..columns import ColumnVault
from ..errors import InvalidArgument
from ..kv import KVault
from ..vault import Vault
from .columns import describe, print_columns
from .failure import DAMAGED, one_line
from .opening import check_exists, file_argument, reading
from .output import count, json_option, print_json, print_lines, print_table
from .progress import Bar

APPLICATION_ID = b"KVLT"
SIZES = ("file_bytes", "wal_bytes", "page_size", "pages", "free_pages")


def _format_of(path: Path) -> str:
    """Return what kind of file it is, by the fields of SQLite's header that tell."""
    with path.open("rb") as file:
        header = file.read(100)
    if header[68:72] == APPLICATION_ID:
        return f"KohakuVault, format {int.from_bytes(header[60:64], 'big')}"
    return "SQLite, of another program" if header else "empty"


def _tables(vault: Vault) -> list[dict[str, Any]]:
    return [{"table": name, "keys": len(vault.kv(name))} for name in vault.tables()]


def _columns(vault: Vault) -> tuple[ColumnVault | None, str]:
    """Return the columns, or None and why they cannot be read: an older implementation wrote them."""
    columns = vault.columns()
    try:
        columns.list_columns()
    except InvalidArgument as exc:
        return None, one_line(str(exc))
    return columns, ""


@click.command()
@file_argument
@json_option
def info(file: Path, as_json: bool) -> None:
    """Tell what a file holds."""
    check_exists(file)
    kind = _format_of(file)
    with reading(file) as vault:
        sizes, tables = vault.stats(), _tables(vault)
        columns, note = _columns(vault)
        found = columns.list_columns() if columns is not None else []
    if as_json:
        print_json(
            {
                "path": str(file),
                "format": kind,
                **{name: sizes[name] for name in SIZES},
                "tables": tables,
                "columns": [dict(zip(("column", "dtype", "length"), it, strict=True)) for it in found],
                **({"note": note} if note else {}),
            }
        )
        return
    print_lines(
        [
            f"{one_line(str(file))}: {kind}",
            f"{count(sizes['file_bytes'], 'byte')} in {count(sizes['pages'], 'page')} of {sizes['page_size']:,}, "
            f"{sizes['free_pages']:,} of them free; {count(sizes['wal_bytes'], 'byte')} in the WAL",
        ]
    )
    if tables:
        print_lines([""])
        print_table(["table", "keys"], [[it["table"], it["keys"]] for it in tables])
    if found:
        print_lines([""])
        print_table(["column", "dtype", "length"], [[one_line(name), one_line(dtype), n] for name, dtype, n in found])
    if note:
        print_lines(["", note])


# ---- stats ----


def _measure(kv: KVault) -> dict[str, Any]:
    """Count keys and bytes in one pass over the keys."""
    keys = key_bytes = value_bytes = largest = 0
    with Bar(f"table {kv.table}", len(kv)) as bar:
        for key in kv:
            size = kv.size(key)
            keys, key_bytes, value_bytes = keys + 1, key_bytes + len(key), value_bytes + size
            largest = max(largest, size)
            bar.advance()
    return {
        "table": kv.table,
        "keys": keys,
        "key_bytes": key_bytes,
        "value_bytes": value_bytes,
        "largest_value": largest,
    }


@click.command()
@file_argument
@json_option
def stats(file: Path, as_json: bool) -> None:
    """Measure a file, its tables and its columns.

    Of the file: bytes, pages, free pages. Of each table: keys, and the bytes of keys and values. Of each column: its
    length and bytes. It goes through all keys, but reads no values.
    """
    with reading(file) as vault:
        figures = vault.stats()
        tables = [_measure(vault.kv(name)) for name in vault.tables()]
        columns, note = _columns(vault)
        found = describe(columns) if columns is not None else []
    if as_json:
        noted = {"note": note} if note else {}
        print_json({**{name: figures[name] for name in SIZES}, "tables": tables, "columns": found, **noted})
        return
    print_table(["figure", "value"], [[name.replace("_", " "), figures[name]] for name in SIZES])
    if tables:
        print_lines([""])
        print_table([name.replace("_", " ") for name in tables[0]], [list(it.values()) for it in tables])
    if found:
        print_lines([""])
        print_columns(found)
    if note:
        print_lines(["", note])


# ---- verify, backup ----


@click.command()
@file_argument
@json_option
@click.pass_context
def verify(ctx: click.Context, file: Path, as_json: bool) -> None:
    """Read the whole file and check everything in it.

    SQLite's structure, every checksum, every piece of a large value against its owner. Ends with code 5 if anything
    is wrong, and prints a line for each finding.
    """
    check_exists(file)
    with Vault(file, read_only=True) as vault, Bar(f"verifying {file.name}", None):
        problems = vault.verify()
    if as_json:
        print_json({"problems": [{"where": it.where, "what": it.what} for it in problems]})
    else:
        print_lines(one_line(f"{it.where}: {it.what}") for it in problems)
        print_lines([count(len(problems), "problem") if problems else "no problem found"])
    ctx.exit(DAMAGED if problems else 0)


@click.command()
@file_argument
@click.argument("dest", type=click.Path(path_type=Path))
@json_option
def backup(file: Path, dest: Path, as_json: bool) -> None:
    """Copy the file to DEST, whatever others do with it meanwhile.

    The copy is of one instant. DEST is replaced, and only once the copy is complete and synced.
    """
    check_exists(file)
    with Vault(file, read_only=True) as vault, Bar(f"backing up {file.name}", 0) as bar:
        vault.backup(dest, progress=bar.reach)
    size = dest.stat().st_size
    if as_json:
        print_json({"path": str(dest), "bytes": size})
    else:
        print_lines([f"{one_line(str(dest))}: {count(size, 'byte')}"])


COMMANDS = [info, stats, verify, backup]
