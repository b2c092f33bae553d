"""The work of `migrate`: a file of the older implementation becomes one of ours."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .._kvault import DataPacker
from ..columns import ColumnVault
from ..errors import CorruptData, InvalidArgument, map_exception
from ..vault import Vault
from .failure import one_line
from .older import OlderColumn, OlderFile
from .opening import check_exists
from .progress import Bar

BATCH_VALUES, BATCH_BYTES = 4096, 4 << 20
SQLITE_MAGIC = b"SQLite format 3\0"
OLDER_DEFAULT_TABLE, OUR_DEFAULT_TABLE = "kv", "kvault"


class Moved(NamedTuple):
    """A table that was brought over."""

    table: str
    from_table: str
    keys: int


class Report(NamedTuple):
    """What came over, and in words what did not."""

    tables: list[Moved]
    columns: list[OlderColumn]
    left: list[str]


def new_names(tables: list[str]) -> dict[str, str]:
    """Return what each table is to be called: the older default becomes ours, unless that is taken."""
    taken = {name.lower() for name in tables}
    return {
        name: OUR_DEFAULT_TABLE if name == OLDER_DEFAULT_TABLE and OUR_DEFAULT_TABLE not in taken else name
        for name in tables
    }


@contextlib.contextmanager
def _complete_vault(dest: Path) -> Iterator[Vault]:
    """Give a new vault that is at `dest` only once all went well."""
    if dest.exists():
        raise InvalidArgument(f"{dest} is already there; migrate makes a new file")
    with tempfile.TemporaryDirectory(prefix=f".{dest.name}.", dir=dest.absolute().parent) as made:
        path = Path(made) / "new"
        with Vault(path, durability="full") as vault:
            yield vault
        path.rename(dest)
    folder = os.open(dest.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def copy_tables(older: OlderFile, vault: Vault) -> list[Moved]:
    names = new_names(older.tables())
    stores = {name: vault.kv(new) for name, new in names.items()}  # a name that is none is refused before all else
    moved = []
    for name, kv in stores.items():
        expected = older.count(name)
        with Bar(f"table {one_line(name)}", expected) as bar, kv.cache():
            for key, value in older.pairs(name):
                if isinstance(value, bytes):
                    kv[key] = value
                else:
                    with value:
                        kv.put_file(key, value)
                bar.advance()
        if len(kv) != expected:
            raise CorruptData(f'the table "{name}" has {expected:,} rows, but {len(kv):,} different keys')
        moved.append(Moved(kv.table, name, expected))
    return moved


# ---- columns ----


def _values(older: OlderFile, column: OlderColumn) -> Iterator[list[Any]]:
    """Yield the values of a column in lists of bounded size."""
    packer = DataPacker(column.dtype)
    if column.positions is None:
        if packer.elem_size != column.data.element_bytes:
            raise CorruptData(
                f"its elements have {column.data.element_bytes} bytes, those of {column.dtype} have {packer.elem_size}"
            )
        step = max(1, BATCH_BYTES // packer.elem_size) * packer.elem_size
        for block in older.blocks(column):
            for at in range(0, len(block), step):
                part = block[at : at + step]
                yield packer.unpack_many(part, len(part) // packer.elem_size)
        return
    batch, held = [], 0
    for element in older.elements(column):
        batch.append(packer.unpack(element))
        held += len(element)
        if held >= BATCH_BYTES or len(batch) == BATCH_VALUES:
            yield batch
            batch, held = [], 0
    yield batch


def _copy_column(older: OlderFile, columns: ColumnVault, column: OlderColumn) -> None:
    made = columns.create_column(column.name, column.dtype)
    try:
        with Bar(f"column {one_line(column.name)}", column.length) as bar:
            for values in _values(older, column):
                made.extend(values)
                bar.advance(len(values))
    except BaseException:
        columns.delete_column(column.name)
        raise


def copy_columns(older: OlderFile, vault: Vault) -> tuple[list[OlderColumn], list[str]]:
    """Copy what can be read; return it, and in words what cannot."""
    moved, left = [], []
    columns = vault.columns()
    for column in older.columns():
        try:
            _copy_column(older, columns, column)
            moved.append(column)
        except (CorruptData, ValueError, TypeError, OverflowError) as exc:
            left.append(f'the column "{column.name}" ({column.dtype}): {exc}')
    return moved, left


# ---- the whole ----


@contextlib.contextmanager
def _two_sqlites() -> Iterator[None]:
    """Python's sqlite3 may be another SQLite than ours, which a vault warns of; here each has a file of its own."""
    logger = logging.getLogger("kohakuvault")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _check_source(src: Path) -> None:
    check_exists(src)
    with src.open("rb") as file:
        if file.read(len(SQLITE_MAGIC)) != SQLITE_MAGIC:
            raise CorruptData(f"{src} is no SQLite file")


def move(src: Path, dest: Path) -> Report:
    """Make `dest` out of `src`.

    Raises
    ------
    InvalidArgument
        If `dest` is there, or there is nothing in `src`.
    CorruptData
        If `src` is no SQLite file, or a table is damaged.
    """
    _check_source(src)
    try:
        with _two_sqlites(), OlderFile(src) as older:
            left = older.unread()
            if not older.tables() and not older.columns() and not left:
                raise InvalidArgument(f"{src} holds no tables of keys and values, and no columns")
            with _complete_vault(dest) as vault:
                tables = copy_tables(older, vault)
                columns, refused = copy_columns(older, vault)
    except sqlite3.Error as exc:
        raise map_exception(exc) from exc
    return Report(tables, columns, left + refused)
