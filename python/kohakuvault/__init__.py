"""One SQLite file for blobs of any size, typed columns and records."""

from . import errors
from ._kvault import CSBTree, DataPacker, SkipList, parse_dtype
from ._kvault import version as __version__
from .columns import Column, ColumnVault, VarSizeColumn
from .errors import (
    ClosedHandle,
    CorruptData,
    DatabaseBusy,
    ForkedHandle,
    InvalidArgument,
    IoError,
    KohakuVaultError,
    NotFound,
    ReadOnly,
    SchemaError,
    WrongType,
)
from .kv import KVault
from .process import watch_process
from .vault import Problem, Vault

__all__ = [
    "CSBTree",
    "ClosedHandle",
    "Column",
    "ColumnVault",
    "CorruptData",
    "DataPacker",
    "DatabaseBusy",
    "ForkedHandle",
    "InvalidArgument",
    "IoError",
    "KVault",
    "KohakuVaultError",
    "NotFound",
    "Problem",
    "ReadOnly",
    "SchemaError",
    "SkipList",
    "VarSizeColumn",
    "Vault",
    "WrongType",
    "__version__",
    "errors",
    "parse_dtype",
]

watch_process()
