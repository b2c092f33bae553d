"""The names that the older implementation kept here."""

from .kv import KVault

__all__ = ["KVault"]
