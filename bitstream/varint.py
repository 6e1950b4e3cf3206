"""Unsigned integers of 1 to 9 bytes: 7 bits a byte, lowest first, top bit set in all but the last (FORMAT.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable

from .errors import Corrupt

MAX_VARINT = 2**63 - 1


def pack_varint(value: int) -> bytes:
    """Raises ValueError for values outside 0 .. 2**63 - 1."""
    if not 0 <= value <= MAX_VARINT:
        raise ValueError(f"{value} is outside 0 .. {MAX_VARINT}")
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def read_varint(next_byte: Callable[[], int]) -> int:
    """Reads from a function that gives one byte a call. Raises Corrupt for a number that is too long or not minimal."""
    value = 0
    for shift in range(0, 63, 7):
        byte = next_byte()
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise Corrupt("a number is written longer than it need be")
            return value
    raise Corrupt("a number is longer than 9 bytes")
