"""Forks and the end of the process: vaults are flushed, and their connections not inherited."""

from __future__ import annotations

import atexit
import os
import sys

from . import _kvault

TYPE_CHECKING = False  # see cache.py
if TYPE_CHECKING:
    from types import ModuleType


def _flush_at_end(util: ModuleType) -> None:
    util.Finalize(None, _kvault.flush_all, exitpriority=0)


def _watch_worker() -> None:
    """Flush at the end of a multiprocessing worker, which leaves by `os._exit` without running `atexit`.

    A worker drops the finalizers that it has when it begins, then runs what was registered for after a fork.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        _flush_at_end(util)
        util.register_after_fork(util, _flush_at_end)


def _after_fork_child() -> None:
    _kvault.after_fork_child()
    _watch_worker()


def watch_process() -> None:
    """Called once, when the package is imported."""
    os.register_at_fork(
        before=_kvault.before_fork, after_in_parent=_kvault.after_fork_parent, after_in_child=_after_fork_child
    )
    atexit.register(_kvault.flush_all)
    _watch_worker()
