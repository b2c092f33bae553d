"""CPython's own tests of the mapping protocol, on bytes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from kohakuvault import KVault

mapping_tests = pytest.importorskip("test.mapping_tests", reason="this Python comes without its own tests")


class BytesMappingProtocol(mapping_tests.BasicTestMappingProtocol):
    """The tests of CPython; a vault in memory is what `type2test` is made of."""

    def _reference(self) -> dict[bytes, bytes]:
        return {b"1": b"2", b"key1": b"value1", b"key2": b"\x01\x02\x03"}

    def _empty_mapping(self) -> KVault:
        vault = KVault(":memory:")
        self.addCleanup(vault.close)
        return vault

    # Theirs want a TypeError for None, which is our "no prefix".

    def test_values(self) -> None:
        assert list(self._empty_mapping().values()) == []
        with pytest.raises(TypeError):
            self._empty_mapping().values(None, None)

    def test_items(self) -> None:
        assert list(self._empty_mapping().items()) == []
        with pytest.raises(TypeError):
            self._empty_mapping().items(None, None)

    # One of theirs gives str as a value.

    def test_update(self) -> None:
        vault = self._empty_mapping()
        for other in (self.other, self.other.items(), list(self.other.items()), iter(self.other.items())):
            vault.clear()
            vault.update()
            vault.update(other)
            assert list(vault.items()) == list(self.other.items())
        vault.clear()
        vault.update(Keyed(self.reference))
        assert dict(vault) == self.reference
        for bad, raised in (
            (42, TypeError),
            ([(1, 2, 3)], ValueError),
            (Keyed(self.reference, fails_at="keys"), ZeroDivisionError),
            (Keyed(self.reference, fails_at="next"), ZeroDivisionError),
            (Keyed(self.reference, fails_at="value"), ZeroDivisionError),
            (((b"a", b"%d" % (1 // n)) for n in (1, 0)), ZeroDivisionError),
        ):
            vault.clear()
            with pytest.raises(raised):
                vault.update(bad)
            assert len(vault) == 0


class Keyed:
    """What dict.update() takes though it is no mapping; fails where it is told to."""

    def __init__(self, data: Mapping[bytes, bytes], fails_at: str = "") -> None:
        self.data = data
        self.fails_at = fails_at

    def keys(self) -> Iterator[bytes]:
        if self.fails_at == "keys":
            raise ZeroDivisionError
        return self.walk()

    def walk(self) -> Iterator[bytes]:
        yield from self.data
        if self.fails_at == "next":
            raise ZeroDivisionError

    def __getitem__(self, key: bytes) -> bytes:
        if self.fails_at == "value":
            raise ZeroDivisionError
        return self.data[key]


class FileMappingProtocol(BytesMappingProtocol):
    """The same, each mapping a file of its own."""

    options: ClassVar[dict[str, object]] = {}

    def _empty_mapping(self) -> KVault:
        folder = Path(tempfile.mkdtemp(prefix="kvault-"))
        self.addCleanup(shutil.rmtree, folder)
        vault = KVault(folder / "test.db", **self.options)  # type: ignore[arg-type]
        self.addCleanup(vault.close)
        return vault


class CachedMappingProtocol(FileMappingProtocol):
    """The same, with every write pending."""

    def _empty_mapping(self) -> KVault:
        vault = super()._empty_mapping()
        vault.enable_cache()
        return vault


class TransactionMappingProtocol(FileMappingProtocol):
    """The same, inside a transaction."""

    def _empty_mapping(self) -> KVault:
        vault = super()._empty_mapping()
        block = vault.transaction()
        block.__enter__()
        self.addCleanup(block.__exit__, None, None, None)
        return vault


class JournalMappingProtocol(FileMappingProtocol):
    """The same, on a file without WAL."""

    options: ClassVar[dict[str, object]] = {"enable_wal": False}
