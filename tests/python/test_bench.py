"""The benchmarks' own machinery: contenders in processes, ratios, and results that are looked at."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def measure() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCH))
    import measure

    yield measure
    sys.path.remove(str(BENCH))


def reader(measure: ModuleType, name: str, **options: object) -> object:
    arguments = {"library": "ours", "keys": 200, "size": 100, **options}
    return measure.Contender(name, "rows_kv", "Reader", arguments, str(options.pop("needs", "")))


def test_contenders_run_in_alternation_and_give_ratios(measure: ModuleType, folder: Path) -> None:
    settings = measure.Settings(pairs=3, seconds=0.005, folder=folder)
    ours, peer = reader(measure, "ours"), reader(measure, "sqlite3", library="sqlite3")
    absent = measure.Contender("absent", "rows_kv", "Reader", {}, needs="./no/such/package")
    row = measure.Row("3", "get", measure.timed(ours, [peer, absent]), goals={"sqlite3": 1000.0})
    results = row.measure(settings)
    assert [result.name for result in results] == ["ours", "sqlite3", "absent"]
    assert results[0].value > 0
    assert results[1].low <= results[1].ratio <= results[1].high
    assert results[1].pairs == 3
    assert "cannot be installed" in results[2].note
    table = measure.table([(row, results)])
    assert f"**{results[1].ratio:.2f}**" in table, "a goal that is missed stands out"
    assert json.loads(measure.as_json([(row, results)], settings))["rows"][0]["results"][1]["name"] == "sqlite3"
    assert list(folder.iterdir()) == [], "the contenders' folders are removed"


def test_ratios_are_of_the_pairs(measure: ModuleType) -> None:
    result = measure.compare("peer", [2e-6, 20e-6, 4e-6, 40e-6], [1e-6, 10e-6, 1e-6, 10e-6])
    assert result.ratio == 3
    assert result.low == 2
    assert result.high == 4
    assert result.value == pytest.approx(12)


def test_a_work_that_answers_wrongly_is_an_error(measure: ModuleType, folder: Path) -> None:
    wrong = measure.Contender("ours", "rows_kv", "Walker", {"library": "ours", "keys": 10, "size": 10, "way": "count"})
    with (
        pytest.raises(RuntimeError, match="ours"),
        measure.workers([wrong], measure.Settings(folder=folder)) as started,
    ):
        started[0].call("slice", 10)
