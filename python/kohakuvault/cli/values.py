"""Keys and values one by one: `ls`, `get`, `put`, `rm`, `cat`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import InvalidArgument, NotFound
from ..kv import KVault
from .complete import complete_key
from .failure import FAILED, Failure
from .jsonlines import key_record
from .keytext import from_text, to_text
from .opening import any_table, check_apart, existing_table, file_argument, reading, table_option, writing
from .output import count, json_line, json_option, opened_output, print_json, print_lines
from .progress import Bar, CountedWriter

Function = TypeVar("Function", bound=Callable[..., Any])
PREFIX_BATCH = 10_000


def key_options(command: Function) -> Function:
    """Add the two options that tell how keys are written."""
    command = click.option("--hex", "as_hex", is_flag=True, help="Keys in hexadecimal.")(command)
    return click.option("--raw", "as_raw", is_flag=True, help="Keys as they are: a backslash is one.")(command)


def key_of(text: str, as_raw: bool, as_hex: bool) -> bytes:
    if as_raw and as_hex:
        raise click.UsageError("--raw and --hex: a key is written in one way")
    return from_text(text, raw=as_raw, hexadecimal=as_hex)


# ---- ls ----


@click.command()
@file_argument
@click.argument("prefix", required=False, shell_complete=complete_key)
@table_option
@click.option("--start", metavar="KEY", help="Begin with this key.")
@click.option("--stop", metavar="KEY", help="End before this key.")
@click.option("-r", "--reverse", is_flag=True, help="From the last key to the first.")
@click.option("-n", "--limit", type=click.IntRange(0), metavar="N", help="At most N keys.")
@click.option("-l", "--long", "with_size", is_flag=True, help="Print the size of each value, in bytes, before its key.")
@click.option("--raw", "as_raw", is_flag=True, help="Keys as they are, each followed by a NUL byte, as for xargs -0.")
@click.option("--hex", "as_hex", is_flag=True, help="Keys in hexadecimal, in the arguments too.")
@json_option
def ls(
    file: Path,
    prefix: str | None,
    table: str | None,
    start: str | None,
    stop: str | None,
    reverse: bool,
    limit: int | None,
    with_size: bool,
    as_raw: bool,
    as_hex: bool,
    as_json: bool,
) -> None:
    """List keys: all of a table, or those that begin with PREFIX.

    They come in byte order, one a line. A key that is printable text is printed as it is; in any other, bytes that
    are none are printed as \\xHH, a line feed as \\n, and a backslash doubled. With --json each line is an object with
    the key and the size of its value.
    """
    if as_raw and (as_hex or as_json or with_size):
        raise click.UsageError("--raw prints keys alone, without --hex, --json or --long")
    bounds = [None if text is None else key_of(text, as_raw, as_hex) for text in (prefix, start, stop)]
    with reading(file) as vault:
        kv = existing_table(vault, table)
        keys = iter(kv.keys(bounds[0], start=bounds[1], stop=bounds[2], reverse=reverse, limit=limit))
        if as_raw:
            _print_raw(keys)
        elif as_json:
            print_lines(json_line({**key_record(key), "size": kv.size(key)}) for key in keys)
        else:
            show: Callable[[bytes], str] = bytes.hex if as_hex else to_text
            print_lines(f"{kv.size(key):>12} {show(key)}" if with_size else show(key) for key in keys)


def _print_raw(keys: Iterator[bytes]) -> None:
    out = sys.stdout.buffer
    for key in keys:
        out.write(key + b"\0")
    out.flush()


# ---- get, cat ----


@click.command()
@file_argument
@click.argument("key", shell_complete=complete_key)
@table_option
@key_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file, which appears complete.")
def get(file: Path, key: str, table: str | None, as_raw: bool, as_hex: bool, output: Path | None) -> None:
    """Write the value of KEY to standard output, or to a file."""
    name = key_of(key, as_raw, as_hex)
    if output is not None:
        check_apart(file, output)
    with reading(file) as vault:
        kv = existing_table(vault, table)
        if output is None:
            _refuse_binary_on_terminal(kv, name)
        bar = Bar(f"get: {to_text(name)}", kv.size(name), "bytes", shown=output is not None)
        with opened_output(output) as out, bar:
            kv.get_to_file(name, CountedWriter(out, bar))


def _refuse_binary_on_terminal(kv: KVault, key: bytes) -> None:
    if sys.stdout.isatty() and b"\0" in kv.read(key, 0, 1024):
        raise Failure(f'the value of "{to_text(key)}" is not text: send it to a pipe, or to a file with -o', FAILED)


def parse_range(text: str) -> tuple[int | None, int | None]:
    """Return start and end of START:STOP, either of which may be left out."""
    ends = text.split(":")
    try:
        if len(ends) != 2:
            raise ValueError
        start, stop = (int(end) if end else None for end in ends)
    except ValueError:
        raise InvalidArgument(f"{text!r} is no range of bytes, want START:STOP, as 0:100, 100: or -10:") from None
    return start, stop


@click.command()
@file_argument
@click.argument("keys", metavar="KEY...", nargs=-1, required=True, shell_complete=complete_key)
@table_option
@key_options
@click.option("--range", "range_text", metavar="START:STOP", help="Only these bytes of each value; a Python slice.")
def cat(
    file: Path, keys: tuple[str, ...], table: str | None, as_raw: bool, as_hex: bool, range_text: str | None
) -> None:
    """Write values, or a range of their bytes, to standard output.

    They come one behind the other. A range is what a slice is in Python: START is included, STOP is not, either may
    be left out, and a negative one counts from the end. Only the pieces concerned are read, however large the value.
    """
    names = [key_of(key, as_raw, as_hex) for key in keys]
    limits = slice(*parse_range(range_text or ":"))
    with reading(file) as vault, opened_output(None) as out:
        kv = existing_table(vault, table)
        sizes = [kv.size(name) for name in names]
        for name, size in zip(names, sizes, strict=True):
            start, stop, _ = limits.indices(size)
            while start < stop:
                data = kv.read(name, start, min(stop - start, kv.chunk_size))
                out.write(data)
                start += len(data)


# ---- put, rm ----


@click.command()
@file_argument
@click.argument("key", shell_complete=complete_key)
@click.argument("source", type=click.Path(path_type=Path), required=False)
@table_option
@key_options
@click.option("--text", metavar="TEXT", help="The value itself, stored as UTF-8.")
@json_option
def put(
    file: Path,
    key: str,
    source: Path | None,
    table: str | None,
    as_raw: bool,
    as_hex: bool,
    text: str | None,
    as_json: bool,
) -> None:
    """Store a file as the value of KEY.

    SOURCE is a file; without it, or for `-`, the value comes from standard input. A value of any size takes little
    memory. The old value stays until the new one is complete. FILE is made if it is missing.
    """
    if text is not None and source is not None:
        raise click.UsageError("SOURCE and --text: the value comes from one of them")
    name = key_of(key, as_raw, as_hex)
    if text is not None:
        stored = _put_stream(file, table, name, io.BytesIO(text.encode("utf-8", "surrogateescape")), None)
    elif source is None or str(source) == "-":
        stored = _put_stream(file, table, name, sys.stdin.buffer, None)
    else:
        check_apart(file, source)
        with source.open("rb") as stream:
            stored = _put_stream(file, table, name, stream, source.stat().st_size)
    if as_json:
        print_json({**key_record(name), "size": stored})


def _put_stream(file: Path, table: str | None, key: bytes, stream: Any, size: int | None) -> int:
    with writing(file, create=True) as vault, Bar(f"put: {to_text(key)}", size, "bytes") as bar:
        return any_table(vault, table).put_file(key, bar.reading(stream))


@click.command()
@file_argument
@click.argument("keys", metavar="KEY...", nargs=-1, required=True, shell_complete=complete_key)
@table_option
@key_options
@click.option("--prefix", "as_prefix", is_flag=True, help="Every key that begins with KEY.")
@json_option
def rm(
    file: Path,
    keys: tuple[str, ...],
    table: str | None,
    as_raw: bool,
    as_hex: bool,
    as_prefix: bool,
    as_json: bool,
) -> None:
    """Delete keys, all or none.

    Where one is missing nothing is deleted.
    """
    names = [key_of(key, as_raw, as_hex) for key in keys]
    deleted = 0
    with writing(file) as vault:
        kv = existing_table(vault, table)
        with vault.transaction():
            for name in names:
                deleted += _delete_prefix(kv, name) if as_prefix else _delete(kv, name)
    if as_json:
        print_json({"deleted": deleted})
    elif as_prefix:
        print_lines([f"deleted {count(deleted, 'key')}"])


def _delete(kv: KVault, key: bytes) -> int:
    del kv[key]
    return 1


def _delete_prefix(kv: KVault, prefix: bytes) -> int:
    deleted = 0
    while batch := list(kv.keys(prefix=prefix, limit=PREFIX_BATCH)):
        deleted += kv.delete_many(batch)
    if not deleted:
        raise NotFound(prefix, f'no key begins with "{to_text(prefix)}"')
    return deleted


COMMANDS = [ls, get, put, rm, cat]
