"""The column classes under the name of an older module."""

from .columns import Column, ColumnVault, VarSizeColumn

__all__ = ["Column", "ColumnVault", "VarSizeColumn"]
