"""Ctrl-C in the middle of a long call: it raises KeyboardInterrupt, and what was not complete is undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# The signal comes at some moment of a call that is made again and again. What is there afterwards
# must be the work of whole calls: each writes its own number under every key.
SCRIPT = """
import os, signal, sys, threading
from kohakuvault import KVault

kv = KVault(sys.argv[1])
COUNT = 4000

def pairs(turn):
    return [(b"%05d" % i, b"%09d" % turn * 20) for i in range(COUNT)]

class Endless:
    def read(self, size):
        return bytes(size)

def put_many(turn):
    kv.put_many(pairs(turn))

def flush(turn):
    kv.enable_cache(cap_bytes=1 << 30, flush_threshold=1 << 30)
    kv.put_many(pairs(turn))
    kv.flush_cache()

def transaction(turn):
    with kv.transaction():
        for key, value in pairs(turn):
            kv[key] = value

def put_file(turn):
    kv.put_file("stream", Endless())

def delete_many(turn):
    kv.delete_many([key for key, _ in pairs(0)])
    kv.put_many(pairs(turn))

def get_many(turn):
    kv.get_many([key for key, _ in pairs(0)])

def values(turn):
    sum(map(len, kv.values()))

def verify(turn):
    kv.verify()

def backup(turn):
    kv.backup(sys.argv[1] + ".copy")

put_many(0)
kv["large"] = bytes(30_000_000)
work = globals()[sys.argv[2]]
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    for turn in range(1, 10**9):
        work(turn)
except KeyboardInterrupt:
    pass
seen = {value for key, value in kv.items(stop=b"a")}
assert len(seen) <= 1, len(seen)
assert len(kv.keys(stop=b"a")) in ((0, COUNT) if work is delete_many else (COUNT,))
assert "stream" not in kv
kv.disable_cache()
kv["after"] = b"1"
assert kv["after"] == b"1"
assert len(kv["large"]) == 30_000_000
assert kv.verify() == []
kv.close()
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "work",
    ["put_many", "flush", "transaction", "put_file", "delete_many", "get_many", "values", "verify", "backup"],
)
def test_ctrl_c_in_the_middle(folder: Path, work: str) -> None:
    path = folder / "i.db"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path), work], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "done", done.stderr
    assert done.returncode == 0, done.stderr
    left = {entry.name for entry in folder.iterdir()}
    assert left <= {"i.db", "i.db.copy"}, "a temporary file was left"


# ---- signal handlers that use the vault that is at work ----

HANDLER = """
import os, signal, sys
from kohakuvault import ClosedHandle, KVault

kv = KVault(sys.argv[1])
kv.put_many([(b"%d" % i, bytes(800)) for i in range(20_000)])
answers = []

def close():
    kv.close()

def fork():
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(len(kv) != 20_001)
        except Exception as exc:
            os._exit(0 if type(exc).__name__ == "ForkedHandle" else 1)
    if os.waitpid(pid, 0)[1]:
        raise AssertionError("the child saw something else")

def verify():
    assert kv.verify() == []

def put_many():
    kv.put_many([(b"%d" % i, bytes(800)) for i in range(20_000)])

def handle(number, frame):
    try:
        globals()[sys.argv[2]]()
    except RuntimeError as exc:
        assert "from inside another call" in str(exc), exc
        answers.append(exc)
    else:
        answers.append(None)
        if not kv.closed:
            return
    signal.setitimer(signal.ITIMER_REAL, 0)

kv["one"] = b"1"
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
while len(answers) < 5 and not kv.closed and not any(answers):
    try:
        globals()[sys.argv[3]]()
    except ClosedHandle:
        assert kv.closed
signal.setitimer(signal.ITIMER_REAL, 0)
if not kv.closed:
    assert kv.verify() == []
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("call", ["close", "fork"])
@pytest.mark.parametrize("work", ["verify", "put_many"])
def test_a_signal_handler_never_waits_for_the_call_that_it_interrupts(folder: Path, call: str, work: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANDLER, str(folder / "i.db"), call, work], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "done", done.stderr
