"""Values as files: put_file, get_to_file, read, open."""

from __future__ import annotations

import gc
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from kohakuvault import DatabaseBusy, InvalidArgument, IoError, KVault, NotFound, WrongType

PIECE = 262_144
SIZES = [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7, (8 << 20) + 3, 20_000_000]


def pattern(size: int) -> bytes:
    return (os.urandom(997) * (size // 997 + 1))[:size]


# ---- put_file, get_to_file ----


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_in_and_comes_out(kv: KVault, folder: Path, size: int) -> None:
    data = pattern(size)
    (folder / "in").write_bytes(data)
    with open(folder / "in", "rb") as reader:
        assert kv.put_file("f", reader) == size
    assert kv.size("f") == size
    assert kv["f"] == data
    out = io.BytesIO()
    assert kv.get_to_file("f", out, chunk_size=100_000) == size
    assert out.getvalue() == data
    assert kv.verify() == []


def test_size_may_be_told_and_the_rest_stays_in_the_reader(kv: KVault) -> None:
    reader = io.BytesIO(b"abcdef")
    assert kv.put_file("f", reader, size=4) == 4
    assert kv["f"] == b"abcd"
    assert reader.read() == b"ef"


@pytest.mark.parametrize("source", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_bytes_are_a_reader_too(kv: KVault, source: bytes) -> None:
    assert kv.put_file("f", source) == 3
    assert kv.put_file("g", source, size=2) == 2
    assert (kv["f"], kv["g"]) == (b"abc", b"ab")
    with pytest.raises(IoError, match="ended after 3 bytes of 4"):
        kv.put_file("h", source, size=4)


def test_pipes_and_sockets(kv: KVault) -> None:
    data = pattern(1_000_000)
    receive, send = os.pipe()
    feeder = threading.Thread(target=lambda: (os.fdopen(send, "wb").write(data), None)[1])
    feeder.start()
    with os.fdopen(receive, "rb", buffering=0) as reader:
        assert kv.put_file("pipe", reader) == len(data)
    feeder.join()
    left, right = socket.socketpair()
    with left, right:
        sender = threading.Thread(target=kv.get_to_file, args=("pipe", left))
        sender.start()
        assert kv.put_file("socket", right, size=len(data)) == len(data)
        sender.join()
    assert kv["pipe"] == kv["socket"] == data


class Raises(io.RawIOBase):
    def __init__(self, good: int) -> None:
        self.good = good

    def read(self, size: int = -1) -> bytes:
        if self.good <= 0:
            raise ConnectionError("the line went dead")
        self.good -= size
        return b"x" * size


class Answers:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def read(self, size: int) -> object:
        return self.answer


@pytest.mark.parametrize("old_size", [3, 1_000_000])
@pytest.mark.parametrize(
    ("make", "size", "error", "words"),
    [
        (lambda: Raises(0), None, ConnectionError, "dead"),
        (lambda: Raises(20 << 20), None, ConnectionError, "dead"),
        (lambda: io.BytesIO(b"short"), 6, IoError, "ended after 5 bytes of 6"),
        (lambda: Answers(None), None, IoError, "no data now"),
        (lambda: Answers("text"), None, WrongType, "str"),
        (lambda: Answers(5), None, WrongType, "int"),
        (lambda: Answers(b"x" * (2 << 20)), None, IoError, "when it was asked for"),
        (lambda: io.StringIO("text"), None, WrongType, "binary"),
        (lambda: object(), None, WrongType, "read"),
    ],
)
def test_a_bad_reader_leaves_the_old_value(
    kv: KVault, old_size: int, make: Callable[[], object], size: int | None, error: type[Exception], words: str
) -> None:
    kv["f"] = b"o" * old_size
    with pytest.raises(error, match=words):
        kv.put_file("f", make(), size=size)
    assert kv["f"] == b"o" * old_size
    with pytest.raises(error, match=words):
        kv.put_file("new", make(), size=size)
    assert "new" not in kv
    assert kv.verify() == []


def test_a_bad_writer_is_heard(kv: KVault) -> None:
    kv["f"] = b"abc"

    class Lies:
        def write(self, data: bytes) -> int:
            return len(data) + 1

    class Slow:
        def __init__(self) -> None:
            self.got = b""

        def write(self, data: bytes) -> int:
            self.got += bytes(data[:1])
            return 1

    with pytest.raises(IoError, match="took 4 bytes"):
        kv.get_to_file("f", Lies())
    slow = Slow()
    assert kv.get_to_file("f", slow) == 3
    assert slow.got == b"abc"
    with pytest.raises(NotFound):
        kv.get_to_file("missing", slow)


def test_numbers_out_of_range_are_refused(kv: KVault) -> None:
    kv["f"] = b"abc"
    with pytest.raises(InvalidArgument, match="size is -1"):
        kv.put_file("f", io.BytesIO(b""), size=-1)
    with pytest.raises(InvalidArgument, match="chunk_size is 0"):
        kv.put_file("f", io.BytesIO(b""), chunk_size=0)
    with pytest.raises(InvalidArgument, match="offset is -1"):
        kv.read("f", -1)
    with pytest.raises(InvalidArgument, match="length is -2"):
        kv.read("f", 0, -2)
    with pytest.raises(InvalidArgument, match="mode is 'r'"):
        kv.open("f", "r")


def test_read_gives_ranges(kv: KVault) -> None:
    data = pattern(2_000_000)
    kv["f"] = data
    for offset, length in [(0, -1), (0, 0), (5, 10), (PIECE - 1, 2), (1_999_999, 10), (2_000_000, 1), (9_000_000, -1)]:
        expected = data[offset:] if length == -1 else data[offset : offset + length]
        assert kv.read("f", offset, length) == expected


# ---- open("rb") ----


def test_a_reader_is_a_seekable_raw_stream(kv: KVault) -> None:
    data = pattern(1_000_000)
    kv["f"] = data
    with kv.open("f") as stream:
        assert isinstance(stream, io.RawIOBase)
        assert stream.readable()
        assert stream.seekable()
        assert not stream.writable()
        assert stream.read(10) == data[:10]
        assert stream.tell() == 10
        assert stream.seek(-10, os.SEEK_END) == 999_990
        assert stream.read() == data[-10:]
        assert stream.read(1) == b""
        assert stream.seek(5, os.SEEK_SET) == 5
        assert stream.seek(5, os.SEEK_CUR) == 10
        into = bytearray(20)
        assert stream.readinto(into) == 20
        assert into == data[10:30]
        stream.seek(2_000_000)
        assert stream.read(1) == stream.read() == b""
        with pytest.raises(ValueError, match="before the start"):
            stream.seek(-1)
        with pytest.raises(io.UnsupportedOperation):
            stream.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        stream.read()


def test_it_works_under_the_library(kv: KVault, folder: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.txt", "text\n" * 100_000)
    kv["zip"] = archive.getvalue()
    with kv.open("zip") as raw, zipfile.ZipFile(io.BufferedReader(raw)) as read:
        assert read.read("a.txt") == b"text\n" * 100_000
    with kv.open("copied", "wb") as out, kv.open("zip") as raw:
        shutil.copyfileobj(raw, out)
    assert kv["copied"] == kv["zip"]
    with kv.open("made", "wb") as out, zipfile.ZipFile(out, "w") as made:
        made.writestr("b", b"12345")
    with kv.open("made") as raw, zipfile.ZipFile(raw) as read:
        assert read.read("b") == b"12345"
    kv["lines"] = b"one\ntwo\n"
    with io.TextIOWrapper(io.BufferedReader(kv.open("lines"))) as text:
        assert list(text) == ["one\n", "two\n"]


def test_pillow_opens_a_value(kv: KVault) -> None:
    image = pytest.importorskip("PIL.Image")
    with kv.open("png", "wb") as out:
        image.new("RGB", (40, 30), (1, 2, 3)).save(out, "PNG")
    with kv.open("png") as raw, image.open(raw) as opened:
        assert opened.size == (40, 30)
        assert opened.getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_reader_sees_the_value_as_it_was(kv: KVault, size: int) -> None:
    kv["f"] = b"1" * size
    with kv.open("f") as stream:
        assert stream.read(5) == b"11111"
        kv["f"] = b"2" * size
        kv.delete("f")
        assert stream.read() == b"1" * (size - 5)


def test_a_missing_key_cannot_be_read(kv: KVault) -> None:
    with pytest.raises(NotFound) as caught:
        kv.open("missing")
    assert caught.value.key == "missing"
    gc.collect()


# ---- open("wb") ----


@pytest.mark.parametrize("size", SIZES)
def test_a_writer_appears_at_close(kv: KVault, size: int) -> None:
    data = pattern(size)
    kv["f"] = b"old"
    stream = kv.open("f", "wb")
    assert stream.writable()
    assert not stream.readable()
    assert not stream.seekable()
    for at in range(0, size, 1_000_003):
        stream.write(data[at : at + 1_000_003])
    stream.flush()
    assert stream.tell() == size
    assert kv["f"] == b"old"
    stream.close()
    stream.close()
    assert kv["f"] == data
    assert kv.verify() == []
    with pytest.raises(ValueError, match="closed"):
        stream.write(b"x")


@pytest.mark.parametrize("size", [100, 20_000_000])
def test_an_exception_abort_or_collection_discards_a_writer(kv: KVault, size: int) -> None:
    kv["f"] = b"old"
    with suppress(ZeroDivisionError), kv.open("f", "wb") as stream:
        stream.write(b"n" * size)
        raise ZeroDivisionError
    stream = kv.open("f", "wb")
    stream.write(b"n" * size)
    stream.abort()
    stream.abort()
    stream.close()
    stream = kv.open("f", "wb")
    stream.write(b"n" * size)
    del stream
    gc.collect()
    assert kv["f"] == b"old"
    kv["g"] = b"1"
    assert kv.verify() == []


# ---- open("ab") ----


def test_an_appender_publishes_at_flush(kv: KVault) -> None:
    with kv.open("log", "ab") as stream:
        assert "log" not in kv
        stream.write(b"one ")
        stream.flush()
        assert kv["log"] == b"one "
        stream.write(b"two ")
        assert kv["log"] == b"one "
        assert stream.tell() == 8
    assert kv["log"] == b"one two "


@pytest.mark.parametrize("start", [0, 10, PIECE, 2_000_000])
def test_appending_to_values_of_all_sizes(kv: KVault, start: int) -> None:
    expected = pattern(start)
    kv["f"] = expected
    for size in (1, PIECE, 9_000_000):
        more = pattern(size)
        with kv.open("f", "ab") as stream:
            stream.write(more)
        expected += more
        assert kv["f"] == expected
    assert kv.verify() == []


def test_an_appender_discards_what_was_not_flushed(kv: KVault) -> None:
    kv["f"] = b"base"
    with suppress(ZeroDivisionError), kv.open("f", "ab") as stream:
        stream.write(b" kept")
        stream.flush()
        stream.write(b" lost")
        raise ZeroDivisionError
    assert kv["f"] == b"base kept"


def test_one_appender_a_value(kv: KVault) -> None:
    kv["f"] = b"x" * 1_000_000
    with kv.open("f", "ab") as first:
        first.write(b"1")
        with pytest.raises(DatabaseBusy):
            kv.open("f", "ab")
    with kv.open("f", "ab") as second:
        second.write(b"2")
    assert kv.read("f", 1_000_000) == b"12"


def test_a_stream_inside_a_transaction_is_part_of_it(kv: KVault) -> None:
    kv["f"] = b"old"
    with suppress(ZeroDivisionError), kv.transaction():
        with kv.open("f", "wb") as stream:
            stream.write(b"n" * 10_000_000)
        assert kv.size("f") == 10_000_000
        raise ZeroDivisionError
    assert kv["f"] == b"old"
    with kv.transaction():
        kv.put_file("f", io.BytesIO(b"m" * 10_000_000))
        kv["g"] = b"1"
    assert kv.size("f") == 10_000_000
    assert kv.verify() == []


def test_two_threads_cannot_use_one_stream_at_once(kv: KVault) -> None:
    stream = kv.open("f", "wb")
    failures: list[BaseException] = []

    def write() -> None:
        for _ in range(20):
            try:
                stream.write(b"x" * 1_000_000)
            except RuntimeError as exc:
                failures.append(exc)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("another thread" in str(exc) for exc in failures)
    stream.close()
    assert kv.size("f") == (40 - len(failures)) * 1_000_000


@pytest.mark.slow
def test_memory_is_bounded_by_the_chunk(folder: Path) -> None:
    script = """
import resource, sys
from kohakuvault import KVault
with KVault(sys.argv[1]) as kv:
    kv["warm"] = b"x" * 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with kv.open("large", "wb") as out:
        for _ in range(200):
            out.write(b"x" * (1 << 20))
    with kv.open("large") as back:
        while back.read(1 << 20):
            pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder / "m.db")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 20_000  # KiB; the value has 200 MiB, a step of the stream 8


@pytest.mark.parametrize("size", [0, 10, 200_000, 700_000, 2_500_000])
def test_a_range_is_what_a_slice_of_the_value_is(kv: KVault, size: int) -> None:
    value = os.urandom(size)
    kv["k"] = value
    assert kv.read("k") == kv.read("k", 0, -1) == value
    for offset in (0, 1, 4087, size // 2, size, size + 5):
        for length in (0, 1, 5000, size // 2, size, 1 << 20, (1 << 20) + 1, 1 << 62):
            assert kv.read("k", offset, length) == value[offset : offset + length]
    assert kv.read(key="k", offset=3, length=4) == value[3:7]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -2), (1 << 64, 1), (0, 1 << 64), (0, -(1 << 64))])
def test_a_range_out_of_bounds_is_refused_with_the_number(kv: KVault, offset: int, length: int) -> None:
    kv["k"] = b"value"
    with pytest.raises(ValueError, match=str(offset if length == 1 else length)):
        kv.read("k", offset, length)


def test_a_range_of_no_key_is_a_key_error(kv: KVault) -> None:
    for length in (-1, 5, 1 << 40):
        with pytest.raises(KeyError):
            kv.read("k", 0, length)


@pytest.mark.parametrize("mode", ["wb", "ab"])
@pytest.mark.parametrize("wrap", [io.BufferedWriter, lambda raw: io.TextIOWrapper(io.BufferedWriter(raw))])
def test_a_wrapper_that_the_garbage_collector_ends_publishes_nothing(
    kv: KVault, mode: Any, wrap: Callable[[Any], Any]
) -> None:
    kv["a"] = b"old"
    stream = wrap(kv.open("a", mode))
    stream.write("half" * 9999 if isinstance(stream, io.TextIOWrapper) else b"half" * 9999)
    stream.itself = stream
    del stream
    gc.collect()
    assert kv["a"] == b"old"
    with wrap(kv.open("a", "wb")) as stream:
        stream.write("new" if isinstance(stream, io.TextIOWrapper) else b"new")
    assert kv["a"] == b"new"


def test_nothing_is_read_however_far_behind_the_end(kv: KVault) -> None:
    kv["a"] = b"123"
    with kv.open("a") as stream:
        assert stream.seek(1 << 80) == 1 << 80
        assert (stream.read(5), stream.readall(), stream.tell()) == (b"", b"", 1 << 80)


# ---- transactions that are rolled back ----

LARGE = 9_000_000  # more than a stream keeps in memory
GIVEN_UP = "rolled back; open it anew"


def test_a_stream_that_wrote_in_a_transaction_is_given_up_with_it(kv: KVault) -> None:
    """Its pieces of then are gone: what is written before and after must not be joined."""
    kv["old"] = b"0" * 300_000
    writer, appender = kv.open("new", "wb"), kv.open("old", "ab")
    for stream in (writer, appender):
        stream.write(b"1" * LARGE)
    with suppress(ZeroDivisionError), kv.transaction():
        for stream in (writer, appender):
            stream.write(b"2" * LARGE)
        appender.flush()
        assert kv.size("old") == 300_000 + 2 * LARGE
        raise ZeroDivisionError
    for stream in (writer, appender):
        with pytest.raises(IoError, match=GIVEN_UP):
            stream.write(b"3" * LARGE)
        with pytest.raises(IoError, match=GIVEN_UP):
            stream.close()
        stream.abort()
    assert dict(kv) == {b"old": b"0" * 300_000}
    assert kv.verify() == []
    with kv.open("old", "ab") as stream:  # the one before let go of it
        stream.write(b"4" * LARGE)
    assert kv["old"] == b"0" * 300_000 + b"4" * LARGE
    assert kv.verify() == []


@pytest.mark.parametrize("nested", [False, True])
def test_a_stream_of_a_rolled_back_transaction_touches_no_value_that_has_its_id_now(kv: KVault, nested: bool) -> None:
    with kv.transaction() if nested else nullcontext():
        with suppress(ZeroDivisionError), kv.transaction():
            kv["read"] = b"r" * LARGE
            reader, appender = kv.open("read"), kv.open("read", "ab")
            writer, small = kv.open("write", "wb"), kv.open("small", "wb")
            appender.write(b"a" * LARGE)
            writer.write(b"w" * LARGE)
            small.write(b"s")
            dropped = kv.open("dropped", "wb")
            dropped.write(b"d" * LARGE)
            del dropped
            raise ZeroDivisionError
        later = [kv.open(f"later{i}", "wb") for i in range(4)]
        for stream in later:
            stream.write(b"l" * LARGE)
        kv["later"] = b"l" * LARGE
        uses: list[Callable[[], object]] = [
            lambda: reader.read(1),
            lambda: appender.flush(),
            lambda: appender.write(b"a" * LARGE),
            lambda: writer.write(b"w" * LARGE),
            lambda: writer.close(),
            lambda: small.close(),
        ]
        for use in uses:
            with pytest.raises(IoError, match=GIVEN_UP):
                use()
        for stream in (reader, appender, writer, small):
            stream.abort()
        kv["another"] = b""
        for stream in later:
            stream.write(b"L")
            stream.close()
    assert kv["later"] == b"l" * LARGE
    assert all(kv[f"later{i}"] == b"l" * LARGE + b"L" for i in range(4))
    assert len(kv) == 6
    assert kv.verify() == []


def test_a_stream_goes_on_after_a_rollback_that_it_has_no_part_in(kv: KVault) -> None:
    outer = kv.open("outer", "wb")
    outer.write(b"1" * LARGE)
    with suppress(ZeroDivisionError), kv.transaction():
        kv["a"] = b""
        raise ZeroDivisionError
    outer.write(b"2" * LARGE)
    with kv.transaction():
        inner = kv.open("inner", "wb")
        inner.write(b"1" * LARGE)
        with kv.transaction():
            inner.write(b"2" * LARGE)
        with suppress(ZeroDivisionError), kv.transaction():
            raise ZeroDivisionError
        inner.write(b"3" * LARGE)
        outer.write(b"3" * LARGE)
    for stream in (inner, outer):
        stream.close()
    assert kv["inner"] == kv["outer"] == b"1" * LARGE + b"2" * LARGE + b"3" * LARGE
    assert kv.verify() == []
