"""Forks and the end of the process: vaults are flushed, and their connections not inherited."""

from __future__ import annotations

import atexit
import os
import sys

from . import _kvault


def _arm_worker() -> None:
    """Flush at the end of a multiprocessing worker, which leaves by `os._exit` without running `atexit`."""
    sys.modules["multiprocessing.util"].Finalize(None, _kvault.flush_all, exitpriority=0)


def _expect_worker() -> None:
    """Let `_arm_worker` run in this process's workers; they drop the finalizers they inherit before that."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_arm_worker, lambda arm: arm())


def _after_fork_child() -> None:
    _kvault.after_fork_child()
    _expect_worker()


def watch_process() -> None:
    """Called once, when the package is imported."""
    os.register_at_fork(
        before=_kvault.before_fork, after_in_parent=_kvault.after_fork_parent, after_in_child=_after_fork_child
    )
    atexit.register(_kvault.flush_all)
    if "multiprocessing.util" in sys.modules:
        _arm_worker()  # of a worker that imports us; elsewhere atexit has little left to do
