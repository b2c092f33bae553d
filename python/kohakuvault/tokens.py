"""What a record may hold that Python has no type for: extensions, tags and simple values.

They come back from records that somebody else wrote, and can be packed like any other value. Each can be
compared, hashed and pickled, and does not change.
"""

from __future__ import annotations

from dataclasses import dataclass


def _in_range(what: str, number: int, low: int, high: int) -> None:
    if not isinstance(number, int):
        raise TypeError(f"{what} is an int, not {type(number).__name__}")
    if not low <= number <= high:
        raise OverflowError(f"{what} is out of range, {low} to {high}")


@dataclass(frozen=True, slots=True)
class ExtType:
    """An extension of MessagePack: bytes of an application's own type.

    Parameters
    ----------
    code : int
        -128 to 127. Those below 0 belong to MessagePack; -1 is a timestamp, and comes back as a datetime
        unless it counts finer than microseconds or lies outside the years 1 to 9999.
    data : bytes
        Up to 4 GiB.

    Raises
    ------
    OverflowError
        For a code out of range.
    """

    code: int
    data: bytes

    def __post_init__(self) -> None:
        _in_range("the code of an ExtType", self.code, -128, 127)
        if not isinstance(self.data, bytes):
            raise TypeError(f"the data of an ExtType are bytes, not {type(self.data).__name__}")


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of CBOR around a value.

    Parameters
    ----------
    number : int
        0 to 2**64 - 1. Tags 0 and 1 around a date, and 2 and 3 around bytes, come back as the datetime or
        int that they mean.
    value : object
        Anything that can be packed. A Tag is hashable if its value is.

    Raises
    ------
    OverflowError
        For a number out of range.
    """

    number: int
    value: object

    def __post_init__(self) -> None:
        _in_range("the number of a Tag", self.number, 0, 2**64 - 1)


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple value of CBOR other than False, True and None; 23 is "undefined".

    Parameters
    ----------
    number : int
        0 to 19, 23, or 32 to 255.

    Raises
    ------
    OverflowError
        For a number out of range or reserved.
    """

    number: int

    def __post_init__(self) -> None:
        _in_range("a simple value", self.number, 0, 255)
        if self.number in (20, 21, 22) or 24 <= self.number < 32:
            raise OverflowError(f"simple value {self.number} is reserved: there are 0 to 19, 23, and 32 to 255")
