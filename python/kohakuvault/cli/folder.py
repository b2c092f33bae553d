"""A folder into a table and back: a file a key, its path with `/` its name."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import InvalidArgument
from ..kv import KVault
from .failure import one_line
from .keytext import to_text
from .output import naming
from .progress import Bar, CountedWriter

NAME_BYTES_MAX = 255  # of a part of a path, on every file system of today
PATH_BYTES_MAX = 4000
PARTS_MAX = 500  # Python makes and removes folders by recursion
CACHED_BYTES_MAX = 1 << 20  # a file up to this is gathered with others into one commit


# ---- in ----


def _files_in(root: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield the path below `root`, and what is known, of each file; refuse what is neither file nor folder."""
    folders = [b""]
    while folders:
        below = folders.pop()
        with os.scandir(os.path.join(root, below)) as entries:
            found = sorted(entries, key=lambda it: it.name)
        folders += [os.path.join(below, it.name) for it in reversed(found) if it.is_dir(follow_symlinks=False)]
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                yield os.path.join(below, entry.name), _known_of(entry)


def _known_of(entry: os.DirEntry[bytes]) -> os.stat_result:
    known = entry.stat()
    if not stat.S_ISREG(known.st_mode):
        kind = "a link to a folder" if stat.S_ISDIR(known.st_mode) else "no ordinary file"
        raise InvalidArgument(f"cannot import {one_line(os.fsdecode(entry.path))}: it is {kind}")
    return known


def _total_bytes(root: bytes, vault_path: str) -> int:
    """Add up the sizes, and look at every name before anything is stored."""
    vault = os.stat(vault_path)
    total = 0
    for path, known in _files_in(root):
        if os.path.samestat(known, vault):
            raise InvalidArgument(f"cannot import {one_line(os.fsdecode(path))}: it is the vault itself")
        total += known.st_size
    return total


def import_folder(kv: KVault, folder: Path, prefix: bytes) -> dict[str, int]:
    """Store every file below a folder; return how many, and their bytes.

    Each large file is a commit, small ones are gathered into some; a failure keeps those before it.
    """
    root = os.fsencode(folder)
    files = stored = 0
    with Bar(f"importing {folder.name}", _total_bytes(root, kv.path), "bytes") as bar, kv.cache():
        for path, known in _files_in(root):
            key = prefix + path.replace(os.fsencode(os.sep), b"/")
            with open(os.path.join(root, path), "rb") as file:
                if (
                    known.st_size <= CACHED_BYTES_MAX
                    and len(data := file.read(CACHED_BYTES_MAX + 1)) <= CACHED_BYTES_MAX
                ):
                    kv[key] = data
                    size = len(data)
                    bar.advance(size)
                else:
                    file.seek(0)
                    size = kv.put_file(key, bar.reading(file))
            files, stored = files + 1, stored + size
    return {"values": files, "bytes": stored}


# ---- out ----


def _fault_of_name(path: bytes) -> str | None:
    """Why a key cannot be the path of a file below the folder, or None."""
    if not path:
        return "it is empty"
    if b"\0" in path:
        return "it holds a NUL byte"
    if len(path) > PATH_BYTES_MAX:
        return f"it is {len(path):,} bytes, a path may be {PATH_BYTES_MAX:,}"
    parts = path.split(b"/")
    if len(parts) > PARTS_MAX:
        return f"its path has {len(parts):,} parts, limit {PARTS_MAX}"
    for part in parts:
        if part in (b"", b".", b".."):
            return f'a part of its path is "{part.decode()}"'
        if len(part) > NAME_BYTES_MAX:
            return f"a part of its path is {len(part)} bytes, limit {NAME_BYTES_MAX}"
    return None


def _check_names(kv: KVault, prefix: bytes) -> int:
    """Refuse the first key that cannot be a file, before anything is written; return the bytes of all values."""
    total = 0
    for key in kv.keys(prefix=prefix):
        path = key[len(prefix) :]
        fault = _fault_of_name(path)
        if fault is None:
            ends = [i for i, byte in enumerate(path) if byte == ord("/")]
            parent = next((prefix + path[:end] for end in ends if prefix + path[:end] in kv), None)
            fault = None if parent is None else f'"{to_text(parent)}" is a key too, and a file cannot be a folder'
        if fault is not None:
            raise InvalidArgument(
                f'the key "{to_text(key)}" cannot be the path of a file: {fault}; JSON Lines take every key'
            )
        total += kv.size(key)
    return total


def export_folder(kv: KVault, dest: Path, prefix: bytes) -> dict[str, int]:
    """Write every value as a file below `dest`; return how many, and their bytes. A prefix is left out of the paths.

    The files are in `dest` only when all of them are complete.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise InvalidArgument(f"{dest} is already there, and is no empty folder")
    total = _check_names(kv, prefix)
    parent = dest if dest.exists() else dest.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".kohakuvault-", dir=parent) as made:
        inside = Path(made) / "files"
        inside.mkdir()
        counted = _write_files(kv, os.fsencode(inside), dest, prefix, total)
        if dest.exists():
            for path in inside.iterdir():
                path.rename(dest / path.name)
        else:
            inside.rename(dest)
    return counted


def _write_files(kv: KVault, root: bytes, dest: Path, prefix: bytes, total: int) -> dict[str, int]:
    files = written = 0
    with Bar("exporting", total, "bytes") as bar:
        for key in kv.keys(prefix=prefix):
            path = os.path.join(root, *key[len(prefix) :].split(b"/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with naming(dest), open(path, "xb") as file:  # two names that the file system takes for one end here
                written += kv.get_to_file(key, CountedWriter(file, bar))
            files += 1
    return {"values": files, "bytes": written}
