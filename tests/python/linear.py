"""Whether a history of calls on one key could have happened one after the other.

The search is the one of Wing and Gong (1993): of the calls that may come first, as no other has ended before they
began, each is tried; what has been tried before, in the same state, is not tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ABSENT = "absent"


@dataclass(frozen=True)
class Call:
    """One call on a key: what it did, what it was told, and between which instants."""

    begin: int
    end: int
    kind: str  # set, insert, get, remove
    value: Any
    answer: Any  # of get, insert and remove: the value that was there, or ABSENT


def after(call: Call, state: Any) -> Any:
    """The state behind a call, or None if the call could not have had its answer."""
    if call.kind != "set" and call.answer != state:
        return None
    if call.kind == "get":
        return state
    if call.kind == "remove":
        return ABSENT
    if call.kind == "insert" and state != ABSENT:
        return state
    return call.value


def is_linearizable(calls: list[Call], state: Any = ABSENT) -> bool:
    """Whether some order of the calls explains every answer."""
    calls = sorted(calls, key=lambda call: call.begin)
    everything = (1 << len(calls)) - 1
    tried: set[tuple[int, Any]] = set()
    stack = [(0, state)]
    while stack:
        done, state = stack.pop()
        if done == everything:
            return True
        if (done, state) in tried:
            continue
        tried.add((done, state))
        left = [at for at in range(len(calls)) if not done >> at & 1]
        first_end = min(calls[at].end for at in left)
        for at in left:
            if calls[at].begin > first_end:
                break
            behind = after(calls[at], state)
            if behind is not None:
                stack.append((done | 1 << at, behind))
    return False
