"""Each failure has its class, the Python class beside it, and words."""

from __future__ import annotations

import errno
import pickle
import sqlite3
from pathlib import Path

import kohakuvault
import pytest
from kohakuvault import (
    ClosedHandle,
    CorruptData,
    DatabaseBusy,
    ForkedHandle,
    InvalidArgument,
    IoError,
    KohakuVaultError,
    KVault,
    NotFound,
    ReadOnly,
    SchemaError,
    WrongType,
)
from kohakuvault.errors import map_exception

PAIRS = [
    (NotFound, KeyError),
    (InvalidArgument, ValueError),
    (WrongType, TypeError),
    (WrongType, ValueError),
    (IoError, OSError),
    (ClosedHandle, ValueError),
    (DatabaseBusy, Exception),
    (CorruptData, Exception),
    (ReadOnly, Exception),
    (ForkedHandle, Exception),
    (SchemaError, ValueError),
]


@pytest.mark.parametrize(("ours", "pythons"), PAIRS)
def test_each_is_ours_and_pythons(ours: type[Exception], pythons: type[Exception]) -> None:
    assert issubclass(ours, KohakuVaultError)
    assert issubclass(ours, pythons)


@pytest.mark.parametrize("name", kohakuvault.__all__)
def test_every_export_is_there(name: str) -> None:
    assert hasattr(kohakuvault, name)


@pytest.mark.parametrize("kind", [pair[0] for pair in PAIRS])
def test_each_can_be_pickled(kind: type[KohakuVaultError]) -> None:
    exc = kind("words")
    exc.sqlite_code = 5
    again = pickle.loads(pickle.dumps(exc))
    assert type(again) is kind
    assert again.args == ("words",)
    assert again.sqlite_code == 5


def test_a_wait_that_was_too_long_names_the_holder_and_the_time(path: Path) -> None:
    with KVault(path, retries=2, backoff_base=0.02) as kv:
        kv["a"] = b"1"
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(DatabaseBusy, match=r"waited 0\.\d s") as caught:
            kv["a"] = b"2"
        assert caught.value.sqlite_code & 0xFF == sqlite3.SQLITE_BUSY if hasattr(sqlite3, "SQLITE_BUSY") else 5
        other.execute("rollback")
        other.close()
        kv["a"] = b"3"
        assert kv["a"] == b"3"


def test_a_file_that_cannot_be_made_is_an_os_error(folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        KVault(folder / "file" / "x.db")


def test_one_of_ours_comes_back_as_it_is() -> None:
    exc = NotFound("k")
    assert map_exception(exc) is exc


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (KeyError("k"), NotFound),
        (TypeError("t"), WrongType),
        (ValueError("v"), InvalidArgument),
        (OverflowError("o"), InvalidArgument),
        (OSError(errno.ENOSPC, "no space"), IoError),
        (FileNotFoundError(errno.ENOENT, "no file", "name"), IoError),
        (sqlite3.OperationalError("database is locked"), DatabaseBusy),
        (sqlite3.OperationalError("disk I/O error"), IoError),
        (RuntimeError("r"), KohakuVaultError),
    ],
)
def test_any_exception_becomes_one_of_ours(exc: Exception, kind: type[KohakuVaultError]) -> None:
    ours = map_exception(exc)
    assert type(ours) is kind
    assert ours.__cause__ is exc
    if isinstance(exc, OSError):
        assert isinstance(ours, OSError)
        assert ours.errno == exc.errno
    assert map_exception(exc, key="other") is not None


def test_the_key_can_be_told() -> None:
    for exc, key in ((map_exception(KeyError("a")), "a"), (map_exception(KeyError("a"), key="b"), "b")):
        assert isinstance(exc, NotFound)
        assert exc.key == key


def test_sqlites_code_rides_along(path: Path) -> None:
    with KVault(path, retries=1, backoff_base=0.02) as kv:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(DatabaseBusy, match=r"waited 0\.0") as caught:
            kv["a"] = b"1"
        other.close()
        assert caught.value.sqlite_code & 0xFF == 5  # SQLITE_BUSY
        with pytest.raises(NotFound) as missing:
            kv["a"]
        assert missing.value.sqlite_code == 0
