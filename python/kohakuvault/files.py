"""A value as a binary file: the raw stream that `KVault.open` gives."""

from __future__ import annotations

import io
import os

from . import _kvault
from .errors import InvalidArgument, IoError, WrongType
from .views import refuse_numpy_scalar

TYPE_CHECKING = False  # see cache.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Literal

    from typing_extensions import Buffer, Self

    Mode = Literal["rb", "wb", "ab"]

_BLOB_MODES: dict[str, Literal["r", "w", "a"]] = {"rb": "r", "wb": "w", "ab": "a"}


class ValueFile(io.RawIOBase):
    """A value opened as a raw binary stream; works under `io.BufferedReader` and whatever takes a file.

    ``rb`` reads the value as it was when the stream was opened, and is seekable. ``wb`` becomes the
    value at `close()`, ``ab`` at each `flush()`: all of it in one commit, and never by an exception in the
    `with` block, by `abort()` or by the garbage collector. A publish that fails raises and leaves the
    stream open, so that `close()` may be tried again. Memory is bounded, whatever the size.

    A wrapper such as `io.BufferedWriter` closes the stream at the end of its own `with` block, after an exception too,
    which publishes: there, call `abort()` of the stream first. One that the garbage collector ends publishes nothing.

    One thread at a time. It belongs to the process that opened it.
    """

    def __init__(self, store: _kvault.Store, key: str | Buffer, mode: str) -> None:
        if mode not in _BLOB_MODES:
            raise InvalidArgument(f'mode is {mode!r}, want "rb", "wb" or "ab"')
        self.mode = mode
        self._discards = False  # what is still written, by a wrapper at its end
        self._blob: _kvault.Blob | None = None  # for __del__, if the next line raises
        self._blob = store.open_blob(key, _BLOB_MODES[mode])
        self._position = self._blob.size if mode == "ab" else 0

    def _open_blob(self) -> _kvault.Blob:
        if self._blob is None:
            raise ValueError("I/O operation on closed file")
        return self._blob

    def _reading(self) -> _kvault.Blob:
        blob = self._open_blob()
        if self.mode != "rb":
            raise io.UnsupportedOperation("the stream was opened for writing")
        return blob

    def readable(self) -> bool:
        self._open_blob()
        return self.mode == "rb"

    def writable(self) -> bool:
        self._open_blob()
        return self.mode != "rb"

    def seekable(self) -> bool:
        return self.readable()

    def tell(self) -> int:
        self._open_blob()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to an offset from the start, the position or the end; behind the end nothing is read."""
        blob = self._reading()
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise InvalidArgument(f"whence is {whence!r}, want 0, 1 or 2")
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: blob.size}[whence]
        if base + offset < 0:
            raise InvalidArgument(f"cannot seek to {base + offset}, which is before the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        blob = self._reading()
        count = blob.readinto(buffer, min(self._position, blob.size))
        self._position += count
        return count

    def readall(self) -> bytes:
        """Read the rest of the value, in one piece."""
        blob = self._reading()
        data = blob.read(min(self._position, blob.size), max(blob.size - self._position, 0))
        self._position += len(data)
        return data

    def write(self, data: Buffer, /) -> int:
        """Write all of `data` behind what was written so far."""
        blob = self._open_blob()
        if self.mode == "rb":
            raise io.UnsupportedOperation("the stream was opened for reading")
        count = memoryview(data).nbytes if self._discards else blob.write(data)
        self._position += count
        return count

    def flush(self) -> None:
        """Publish what was appended (``ab``); other modes have nothing to flush."""
        blob = self._open_blob()
        if self.mode == "ab" and not self._discards:
            blob.publish()

    def close(self) -> None:
        """Publish what was written and end the stream; closing again does nothing."""
        if self._blob is not None and self.mode != "rb" and not self._discards:
            self._blob.publish()
        self.abort()

    def abort(self) -> None:
        """End the stream without publishing what was not yet published."""
        blob, self._blob = self._blob, None
        if blob is not None:
            blob.end()

    @property
    def closed(self) -> bool:
        return self._blob is None

    def __enter__(self) -> Self:
        self._open_blob()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            self.close()
        else:
            self.abort()

    def _dealloc_warn(self, source: object) -> None:
        """Called by the wrappers of `io` when the garbage collector ends them, before they flush and close us."""
        self._discards = True

    def __del__(self) -> None:
        """Let the stream go unpublished. `io` would close it, which publishes; the blob ends itself without I/O."""
        self._blob = None


# ---- whole files in and out ----


def _bytes_of(buffer: Buffer, size: int | None) -> memoryview:
    refuse_numpy_scalar(buffer, "a value is bytes-like")
    view = memoryview(buffer)
    if "O" in view.format:
        raise WrongType(
            f"a value is bytes-like, not {type(buffer).__module__}.{type(buffer).__name__} of Python objects"
        )
    if not view.c_contiguous:
        raise InvalidArgument("the bytes to store do not lie one behind the other")
    view = view.cast("B")
    if size is not None and size > len(view):
        raise IoError(f"the reader ended after {len(view)} bytes of {size}")
    return view[:size]


def chunks_of(reader: Any, size: int | None, chunk_size: int) -> Iterator[Buffer]:
    """Read a binary file or socket to its end, or `size` bytes of it; bytes-like comes as it is.

    Raises
    ------
    WrongType
        If it cannot be read, or gives something other than bytes.
    IoError
        If it ends before `size` bytes, has no data now, or gives more than it was asked for.
    """
    read: Callable[[int], Any] | None = getattr(reader, "read", None) or getattr(reader, "recv", None)
    if read is None:
        try:
            view = _bytes_of(reader, size)
        except WrongType:
            raise
        except TypeError:
            name = type(reader).__name__
            raise WrongType(f"a reader has read() or recv(), or is bytes-like, unlike {name}") from None
        yield view
        return
    done = 0
    while size is None or done < size:
        wanted = chunk_size if size is None else min(chunk_size, size - done)
        chunk = read(wanted)
        if chunk is None:
            raise IoError("the reader has no data now; only a blocking one can be stored")
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise WrongType(f"the reader gave {type(chunk).__name__}, not bytes; open it in binary mode")
        count = memoryview(chunk).nbytes
        if count > wanted:
            raise IoError(f"the reader gave {count} bytes when it was asked for {wanted}")
        if not count:
            if size is not None:
                raise IoError(f"the reader ended after {done} bytes of {size}")
            return
        done += count
        yield chunk


def write_whole(writer: Any, data: bytes) -> None:
    """Write all of `data` to a binary file or socket, which may take it in parts."""
    if hasattr(writer, "sendall"):
        writer.sendall(data)
        return
    rest = memoryview(data)
    while rest:
        count = writer.write(rest)
        if count is None:
            if isinstance(writer, io.RawIOBase):
                raise IoError("the writer takes no data now; only a blocking one can be written to")
            return  # a class of somebody's own, whose write() tells nothing
        if not 0 <= count <= len(rest):
            raise IoError(f"the writer took {count} bytes when it was given {len(rest)}")
        rest = rest[count:]
