"""What the shell is offered behind a half-typed word: tables, keys and columns of the file that was named before it.

A failure offers nothing; a shell that completes is no place for words about it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from ..errors import KohakuVaultError
from ..vault import Vault
from .keytext import from_text, to_text

OFFERED_MAX = 100


@contextlib.contextmanager
def _named_file(ctx: click.Context) -> Iterator[Vault | None]:
    # Behind an option that waits for its value click has not given out the arguments yet.
    path = Path(ctx.params.get("file") or next(iter(ctx.args), ""))
    if not path.is_file():
        yield None
        return
    with Vault(path, read_only=True, retries=0) as vault:
        yield vault


def complete_table(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    with contextlib.suppress(KohakuVaultError), _named_file(ctx) as vault:
        return [name for name in vault.tables() if name.startswith(begun)] if vault else []
    return []


def complete_key(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    with contextlib.suppress(KohakuVaultError), _named_file(ctx) as vault:
        if vault is None:
            return []
        table = ctx.params.get("table")
        kv = vault.kv(table) if table else vault.kv()
        return [to_text(key) for key in kv.keys(prefix=from_text(begun), limit=OFFERED_MAX)]
    return []


def complete_column(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    with contextlib.suppress(KohakuVaultError), _named_file(ctx) as vault:
        return [name for name in vault.columns() if name.startswith(begun)] if vault else []
    return []
