"""The file and table that a command works on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import InvalidArgument, NotFound
from ..kv import KVault
from ..vault import Vault
from .complete import complete_table

Function = TypeVar("Function", bound=Callable[..., Any])


def file_argument(command: Function) -> Function:
    return click.argument("file", type=click.Path(path_type=Path))(command)


def table_option(command: Function) -> Function:
    return click.option(
        "--table",
        metavar="NAME",
        shell_complete=complete_table,
        help="The table of keys; without it the default one.",
    )(command)


def check_exists(path: Path) -> None:
    if path.is_dir():
        raise InvalidArgument(f"{path} is a folder, not a vault")
    if not path.exists():
        raise NotFound(str(path), f"there is no file {path}")


def check_apart(path: Path, other: Path) -> None:
    """Refuse a source or a destination that is the vault itself, or a log of it, by whatever name."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        part = path.with_name(path.name + suffix)
        if os.path.realpath(part) == os.path.realpath(other) or (
            part.exists() and other.exists() and part.samefile(other)
        ):
            raise InvalidArgument(f"{other} is the vault itself{', or a log of it' if suffix else ''}")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Vault]:
    """Give the vault as it is now: one state for all that a command reads, and no way to write."""
    check_exists(path)
    with Vault(path, read_only=True) as vault, vault.snapshot() as snapshot:
        yield snapshot


@contextlib.contextmanager
def writing(path: Path, *, create: bool = False) -> Iterator[Vault]:
    """Give the vault to write to; a missing one is made only by commands that bring something."""
    if not create or path.is_dir():
        check_exists(path)
    with Vault(path) as vault:
        yield vault


def existing_table(vault: Vault, name: str | None) -> KVault:
    """Return a table that is there. A handle that writes would make a missing one."""
    if name is None:
        names = {table.lower() for table in vault.tables()}
        if not names & {"kvault", "kv"}:
            raise NotFound("kvault", "there is no table of keys by the default name; --table tells another")
        return vault.kv()
    if name.lower() not in (table.lower() for table in vault.tables()):
        raise NotFound(name, f'there is no table "{name}"')
    return vault.kv(name)


def any_table(vault: Vault, name: str | None) -> KVault:
    """Return a table, made if it is missing."""
    return vault.kv() if name is None else vault.kv(name)
