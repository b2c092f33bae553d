"""Vaults for the tests, in memory-backed folders where there are some: hundreds of syncs are slow on a disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kohakuvault import KVault

RAM = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the test's own."""
    made = Path(tempfile.mkdtemp(prefix="kvault-", dir=RAM if os.access(RAM, os.W_OK) else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "test.db"


@pytest.fixture
def kv(path: Path) -> Iterator[KVault]:
    with KVault(path) as opened:
        yield opened
