r"""Keys as text on the command line, and back.

A key that is printable UTF-8 stands for itself. In any other each backslash is doubled, and what cannot be
printed is ``\n``, ``\r``, ``\t`` or ``\xHH`` byte by byte; so no two keys look alike, a key is always
one line, and what `ls` prints is what the other commands take.
"""

from __future__ import annotations

import binascii
import re

from ..errors import InvalidArgument

NAMED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.?))", re.DOTALL)
MEANING = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def _escaped(char: str) -> str:
    if char in NAMED:
        return NAMED[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def to_text(key: bytes) -> str:
    """Return a key as one printable line that `from_text` reads back."""
    text = key.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_escaped, text))


def _meaning(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes.fromhex(match[1].decode())
    if match[2] not in MEANING:
        shown = match[0].decode("utf-8", "replace")
        raise InvalidArgument(f"{shown} in a key is none of \\\\ \\n \\r \\t \\xHH; --raw takes a key as it is")
    return MEANING[match[2]]


def from_text(text: str, *, raw: bool = False, hexadecimal: bool = False) -> bytes:
    """Return the key that an argument names: escaped as `to_text` does, as it is, or in hexadecimal."""
    if hexadecimal:
        try:
            return binascii.unhexlify(text)
        except (ValueError, binascii.Error):
            raise InvalidArgument(f"{to_text(text.encode())} is no key in hexadecimal") from None
    key = text.encode("utf-8", "surrogateescape")
    return key if raw else ESCAPE.sub(_meaning, key)
