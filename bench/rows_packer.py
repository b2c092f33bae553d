"""Rows 11 to 13: records as MessagePack and CBOR, arrays of numbers.

Each work goes over a batch of records of one shape whose values differ, as those of a log do; `scattered` are
records no two of which have the same keys. The floor of packing numbers is a C loop that reads each object and
keeps a sum.
"""

from __future__ import annotations

import array
import importlib
import importlib.util
import random
import struct
import subprocess
import sysconfig
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Contender, Row, Settings, timed

BATCH = 64  # records
HERE = Path(__file__).resolve().parent


# ---- records ----


def small(rng: random.Random) -> dict[str, Any]:
    return {"id": rng.randrange(10**6), "name": f"user {rng.randrange(1000)}", "active": True, "score": rng.random()}


def wide(rng: random.Random) -> dict[str, Any]:
    return {f"feature_{i:02}": rng.random() * 100 for i in range(60)}


def nested(rng: random.Random) -> dict[str, Any]:
    return {
        "id": rng.randrange(10**9),
        "user": {"name": "Ayanami Rei", "email": f"rei{rng.randrange(99)}@nerv.example", "age": 14, "note": None},
        "tags": [rng.choice(["pilot", "eva-00", "first child", "blue"]) for _ in range(4)],
        "history": [
            {"at": 1_700_000_000 + rng.randrange(10**6), "event": "sync", "ratio": rng.random(), "ok": i % 2 == 0}
            for i in range(8)
        ],
        "text": "a longer text, of the kind that records carry about: " * 4,
        "scores": [rng.randrange(10 ** rng.randrange(1, 9)) for _ in range(30)],
        "title": "Zürich, 花見",
    }


def scattered(rng: random.Random) -> dict[str, Any]:
    return {f"k{rng.randrange(10**9)}": rng.randrange(1000) for _ in range(8)}


SHAPES: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "small": small,
    "wide": wide,
    "nested": nested,
    "scattered": scattered,
}


# ---- libraries ----


def codec(library: str, kind: str) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """Return how a library packs and unpacks, in the fastest way that it offers."""
    module = importlib.import_module(library)
    if library == "kohakuvault":
        packer = module.DataPacker(kind)
        if module.__version__.startswith("0.1"):
            return packer.pack, packer.unpack
        return packer.pack, lambda data: packer.unpack(data, 0)
    if library == "msgspec":
        return module.msgpack.Encoder().encode, module.msgpack.Decoder().decode
    if library == "cbor2":
        return module.dumps, module.loads
    return module.packb, module.unpackb


def pack(library: str, kind: str, shape: str) -> Callable[[int], None]:
    rng = random.Random(shape)
    records = [SHAPES[shape](rng) for _ in range(BATCH)]
    encode, decode = codec(library, kind)
    if [decode(encode(record)) for record in records] != records:
        raise ValueError(f"{library} does not read back what it writes")
    return lambda count: over(encode, records, count)


def unpack(library: str, kind: str, shape: str) -> Callable[[int], None]:
    rng = random.Random(shape)
    records = [SHAPES[shape](rng) for _ in range(BATCH)]
    encode, decode = codec(library, kind)
    packed = [encode(record) for record in records]
    if [decode(data) for data in packed] != records:
        raise ValueError(f"{library} does not read back what it writes")
    return lambda count: over(decode, packed, count)


def over(call: Callable[[Any], Any], batch: list[Any], count: int) -> None:
    """Call it `count` times, a batch again and again, with as little else as Python allows."""
    for _ in range(count // len(batch)):
        deque(map(call, batch), 0)
    deque(map(call, batch[: count % len(batch)]), 0)


# ---- numbers ----

CODES = {"i64": "q", "f64": "d"}


def numbers(dtype: str, size: int) -> list[Any]:
    rng = random.Random(size)
    if dtype == "f64":
        return [rng.random() * 1e6 for _ in range(size)]
    return [rng.randrange(-(2**40), 2**40) for _ in range(size)]


def floor(folder: str) -> Any:
    """Build floor.c, once for each process, as it takes less than a second."""
    target = Path(folder) / f"floor{sysconfig.get_config_var('EXT_SUFFIX')}"
    command = ["cc", "-O3", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}", "-o", target, HERE / "floor.c"]
    subprocess.run(command, check=True)
    spec = importlib.util.spec_from_file_location("floor", target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pack_many(how: str, dtype: str, size: int, folder: str) -> Callable[[int], None]:
    values, code = numbers(dtype, size), CODES[dtype]
    want = array.array(code, values)
    if how == "floor":
        touch = getattr(floor(folder), f"touch_{dtype}")
        if abs(touch(values) - sum(want)) > 1:
            raise ValueError("the floor adds up wrongly")
        return lambda count: over(touch, [values], count)
    calls: dict[str, Callable[[list[Any]], Any]] = {
        "array": lambda v: array.array(code, v),
        "struct": lambda v: struct.pack(f"<{size}{code}", *v),
    }
    if how == "kohakuvault":
        calls[how] = importlib.import_module(how).DataPacker(dtype).pack_many
    if bytes(calls[how](values)) != want.tobytes():
        raise ValueError(f"{how} packs otherwise")
    return lambda count: over(calls[how], [values], count)


def unpack_many(how: str, dtype: str, size: int) -> Callable[[int], None]:
    values, code = numbers(dtype, size), CODES[dtype]
    data = array.array(code, values)
    raw = data.tobytes()
    call: Callable[[Any], list[Any]]
    if how == "array.tolist":
        call = array.array.tolist
        batch: list[Any] = [data]
    else:
        packer = importlib.import_module("kohakuvault").DataPacker(dtype)
        call = lambda raw: packer.unpack_many(raw, size)  # noqa: E731
        batch = [raw]
    if call(batch[0]) != values:
        raise ValueError(f"{how} unpacks otherwise")
    return lambda count: over(call, batch, count)


# ---- rows ----

OLDER = {"R 1.1.0": "kohakuvault==1.1.0", "R 0.6.0": "kohakuvault==0.6.0"}
# shape -> library -> how many times as fast we want to be: packing, unpacking
GOALS_MSGPACK = {"msgspec": (1.0, 1.2), "ormsgpack": (1.0, 1.0), "msgpack": (2.5, 2.0)}
GOALS_MSGPACK |= {"R 1.1.0": (8.0, 3.5), "R 0.6.0": (8.0, 3.5)}
GOALS_CBOR = {"cbor2": (8.0, 2.5)}


def record_rows(number: str, kind: str, goals: dict[str, tuple[float, float]], names: list[str]) -> list[Row]:
    rows = []
    for shape in SHAPES:
        for place, factory in enumerate(("pack", "unpack")):
            options = {"kind": kind, "shape": shape}
            ours = Contender("ours", "rows_packer", factory, {"library": "kohakuvault", **options})
            peers = [Contender(n, "rows_packer", factory, {"library": n, **options}, needs=n) for n in names]
            peers += [
                Contender(name, "rows_packer", factory, {"library": "kohakuvault", **options}, needs=needs)
                for name, needs in OLDER.items()
            ]
            wanted = {name: pair[place] for name, pair in goals.items()}
            if shape == "scattered" and "msgspec" in wanted:
                wanted["msgspec"] = 1.0  # the goal of 1.2 is for shapes that repeat
            rows.append(Row(number, f"{kind} {factory}, {shape}", timed(ours, peers), goals=wanted))
    return rows


def number_rows(settings: Settings) -> list[Row]:
    rows = []
    for dtype in CODES:
        for size in (settings.sized(n) for n in (10_000, 100_000, 1_000_000)):
            options = {"dtype": dtype, "size": size}

            def contender(factory: str, how: str, options: dict[str, Any] = options, needs: str = "") -> Contender:
                name = "ours" if how == "kohakuvault" and not needs else needs.replace("kohakuvault==", "R ") or how
                return Contender(name, "rows_packer", factory, {"how": how, **options}, needs=needs)

            older = [contender("pack_many", "kohakuvault", needs=needs) for needs in OLDER.values()]
            peers = [contender("pack_many", how) for how in ("floor", "array", "struct")]
            ours = contender("pack_many", "kohakuvault")
            # 1.3 times the floor is 0.77 of its speed.
            rows.append(Row("13", f"pack_many {dtype}, {size:,}", timed(ours, peers + older), goals={"floor": 1 / 1.3}))
            older = [contender("unpack_many", "kohakuvault", needs=needs) for needs in OLDER.values()]
            ours = contender("unpack_many", "kohakuvault")
            peers = [contender("unpack_many", "array.tolist"), *older]
            work = f"unpack_many {dtype}, {size:,}"
            rows.append(Row("13", work, timed(ours, peers), goals={"array.tolist": 1 / 1.05}))
    return rows


def rows(settings: Settings) -> list[Row]:
    return [
        *record_rows("11", "msgpack", GOALS_MSGPACK, ["msgspec", "ormsgpack", "msgpack"]),
        *record_rows("12", "cbor", GOALS_CBOR, ["cbor2"]),
        *number_rows(settings),
    ]
