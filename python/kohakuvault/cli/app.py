"""The program: its commands, and how it ends."""

from __future__ import annotations

from typing import Any

import click
from click import shell_completion

from .. import __version__
from ..errors import KohakuVaultError
from . import columns, failure, migrate, transfer, values, whole
from .output import print_lines


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, tables and keys.

    \b
    For bash, in ~/.bashrc:       eval "$(kohakuvault completion bash)"
    For zsh, in ~/.zshrc:         eval "$(kohakuvault completion zsh)"
    For fish, in config.fish:     kohakuvault completion fish | source
    """
    kind = shell_completion.get_completion_class(shell)
    assert kind is not None
    print_lines([kind(app, {}, "kohakuvault", "_KOHAKUVAULT_COMPLETE").source()])


SECTIONS = [
    ("Keys and values", values.COMMANDS),
    ("Columns", columns.COMMANDS),
    ("Much at once", [*transfer.COMMANDS, *migrate.COMMANDS]),
    ("The whole file", whole.COMMANDS),
    ("This program", [completion]),
]

HELP = """\
Look into, fill and look after a KohakuVault file.

A file holds tables of keys and values, and columns. Where a command takes KEY, an escape as `ls` prints it stands
for what cannot be printed.

\b
Exit codes:
  0  done
  1  a failure of the system, the disk or the data; the one line on stderr tells
  2  wrong use, or an argument out of range
  3  no such file, table, key or column
  4  another program held the file for too long
  5  the file is damaged or of another kind, or `verify` found something
"""


class Commands(click.Group):
    """Lists its commands by what they concern; ends every failure with a line on stderr and an exit code."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS:
            with formatter.section(title):
                formatter.write_dl([(it.name or "", it.get_short_help_str(100)) for it in commands], col_max=12)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read our output has seen enough; click ends the program without words
        except (failure.Failure, KohakuVaultError, OSError, MemoryError) as exc:
            ended = failure.of(exc)
        except KeyboardInterrupt:
            ended = failure.Failure("interrupted", failure.INTERRUPTED)
        click.echo(f"kohakuvault: {ended}", err=True)
        ctx.exit(ended.code)


@click.group(
    cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="kohakuvault")
def app() -> None:
    pass


for _, commands in SECTIONS:
    for command in commands:
        app.add_command(command)
