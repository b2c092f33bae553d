"""`migrate`: a file of the older implementation becomes one of ours."""

from __future__ import annotations

from pathlib import Path

import click

from .failure import FAILED, one_line
from .output import count, json_option, print_json, print_lines


@click.command()
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def migrate(ctx: click.Context, src: Path, dest: Path, as_json: bool) -> None:
    """Make a file of the older implementation into a new one.

    SRC is read and never changed. Of version 0.6 everything comes over: tables of keys and values, columns of elements
    of one size and of any size. Of versions from 1.0 on the tables come over, their values as the bytes that they are.
    The table `kv`, the default there, becomes `kvault`, the default here.

    What cannot be read is named on stderr, and the code is 1 then; all else is in DEST, which appears when it is
    complete.
    """
    from .moving import move  # here, since it brings Python's sqlite3 along, which may be a second SQLite

    done = move(src, dest)
    if as_json:
        print_json(
            {
                "tables": [it._asdict() for it in done.tables],
                "columns": [{"column": it.name, "dtype": it.dtype, "length": it.length} for it in done.columns],
                "not_migrated": done.left,
            }
        )
    else:
        print_lines(f'table "{it.table}": {count(it.keys, "key")}' for it in done.tables)
        print_lines(f'column "{one_line(it.name)}", {it.dtype}: {count(it.length, "element")}' for it in done.columns)
    for words in done.left:
        click.echo(f"kohakuvault: not migrated: {one_line(words)}", err=True)
    ctx.exit(FAILED if done.left else 0)


COMMANDS = [migrate]
