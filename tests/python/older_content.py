"""What the tests of `migrate` put into a file of the older implementation, and a program that puts it there.

    PYTHONPATH=... python older_content.py PATH [--leave-open]

runs with the older package in PYTHONPATH, as a black box; it checks that the package itself reads back what is
listed here. With --leave-open the process ends without closing the file, so that its log stays.
"""

from __future__ import annotations

import os
import sys
from typing import Any

TABLES: dict[str, dict[bytes, bytes]] = {
    "kv": {
        b"text": "words \u2602".encode(),
        b"\x00\xff": bytes(range(256)),
        b"empty": b"",
        b"header": b"\x89K\x01\x02\x00\x00\x00\x00VK{}",  # opaque to us, whatever it says to others
    },
    "Media_2": {f"image/{i:03}".encode(): bytes([i]) * (i * 7) for i in range(100)},
}
RECORDS: list[Any] = [
    {"id": i, "name": "n" * i, "score": i / 3, "flags": [True, False, None], "deep": {"list": [i, -i]}}
    for i in range(40)
]
TEXTS = ["", "plain", "caf\u00e9", "z" * 100, "end"]
LATIN, ASCII = ["", "caf\u00e9", "\xff" * 30], ["", "plain", "x" * 80]
COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "integers": ("i64", [(-1) ** i * i**8 for i in range(200)] + [2**63 - 1, -(2**63)]),
    "floats": ("f64", [i / 7 for i in range(100)] + [float("inf"), -0.0, 5e-324]),
    "fixed_bytes": ("bytes:5", [b"%05d" % i for i in range(120)] + [b"\0\0\0\0\0", b"\xff" * 5]),
    "fixed_text": ("str:12:utf8", ["", "caf\u00e9", "twelve bytes", "\u65e5\u672c"]),
    "fixed_utf16": ("str:12:utf16le", ["", "caf\u00e9", "sixsix"]),
    "fixed_utf16be": ("str:12:utf16be", ["", "caf\u00e9", "sixsix"]),
    "fixed_latin": ("str:6:latin1", ["", "caf\u00e9"]),
    "fixed_ascii": ("str:6:ascii", ["", "plain"]),
    "fixed_msgpack": ("msgpack:48", [{"a": 1}, [1, 2, 3], None, "x" * 40]),
    "fixed_cbor": ("cbor:48", [{"a": 1.5}, [1, 2, 3], None, "x" * 40]),
    "some_bytes": ("bytes", [b"x" * i for i in range(100)]),
    "text": ("str", TEXTS),
    "utf8": ("str:utf8", TEXTS),
    "utf16le": ("str:utf16le", TEXTS),
    "utf16be": ("str:utf16be", TEXTS),
    "latin": ("str:latin1", LATIN),
    "ascii": ("str:ascii", ASCII),
    "records": ("msgpack", RECORDS),
    "cbor_records": ("cbor", RECORDS),
    "nothing": ("f64", []),
    "nothing_of_any_size": ("str:utf8", []),
    "decoy_data": ("f64", [1.5, 2.5]),  # a name as one half of another kind of column has it
}
# Columns that are edited once they are filled, and what is in them then.
EDITED: dict[str, tuple[str, list[Any], list[Any]]] = {
    "edited_integers": ("i64", list(range(100)), [0, 1, 2, 777, 3, 4, *range(6, 99), -1]),
    "edited_bytes": ("bytes", [b"w%d" % i for i in range(60)], [b"w0", b"s", *(b"w%d" % i for i in range(3, 59))]),
}
SMALL_CHUNKS = {"min_chunk_bytes": 64, "max_chunk_bytes": 256}


def fill(package: Any, path: str) -> Any:
    """Make the file with the older package; return the handle that keeps it open."""
    vault = package.KVault(path, page_size=4096)
    for table, pairs in TABLES.items():
        store = package.KVault(path, table=table, page_size=4096)
        for key, value in pairs.items():
            store[key] = value
        store.close()
    columns = package.ColumnVault(vault, **SMALL_CHUNKS)
    for name, (dtype, values) in COLUMNS.items():
        columns.create_column(name, dtype).extend(list(values))
    for name, (dtype, values, _) in EDITED.items():
        columns.create_column(name, dtype).extend(list(values))
    edit(columns["edited_integers"], columns["edited_bytes"])
    for name, wanted in expected().items():
        found = list(columns[name])
        assert found == wanted, f"{name}: the older package reads {found}"
    return vault


def edit(integers: Any, some_bytes: Any) -> None:
    del integers[5]
    integers.insert(3, 777)
    integers[99] = -1
    some_bytes[1] = b"s"
    del some_bytes[2]
    assert some_bytes.pop() == b"w59"


def expected() -> dict[str, list[Any]]:
    """Return the values of every column in the end."""
    return {name: values for name, (_, values) in COLUMNS.items()} | {name: it[2] for name, it in EDITED.items()}


def dtypes() -> dict[str, str]:
    return {name: it[0] for name, it in (COLUMNS | EDITED).items()}


if __name__ == "__main__":
    import kohakuvault

    opened = fill(kohakuvault, sys.argv[1])
    if "--leave-open" in sys.argv:
        os._exit(0)
    opened.close()
