"""Places of damage as JSON and as lines for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqc.bitstream import Damage

_NUMBER = re.compile(r"\d+")


def damage_record(damage: Damage) -> dict[str, Any]:
    """A place of damage as JSON."""
    return {"offset": damage.offset, "chunk": damage.chunk, "message": damage.message}


def damage_lines(damages: Iterable[Damage]) -> tuple[str, ...]:
    """A line for each place of damage, in order; faults that differ only in the number of a segment share one line.

    A picture cut short lacks hundreds of tiles: `tiles 3-120, 125 of plane 0 are missing`.
    """
    numbers: dict[tuple[str, str], list[int]] = {}
    for damage in damages:
        where = [f"chunk {damage.chunk}"] if damage.chunk is not None else []
        where += [f"byte {damage.offset}"] if damage.offset is not None else []
        if where:
            numbers[f"{damage.message} ({', '.join(where)})", ""] = []
            continue
        first = _NUMBER.search(damage.message)
        if first is None:
            numbers[damage.message, ""] = []
        else:
            parts = damage.message[: first.start()], damage.message[first.end() :]
            numbers.setdefault(parts, []).append(int(first[0]))
    return tuple(_line(before, found, after) for (before, after), found in numbers.items())


def _line(before: str, numbers: list[int], after: str) -> str:
    if len(set(numbers)) > 1 and after.endswith(" is missing"):
        before, after = f"{before.rstrip()}s ", after.removesuffix(" is missing") + " are missing"
    return before + ", ".join(_ranges(numbers)) + after


def _ranges(numbers: list[int]) -> list[str]:
    """Ascending: 3, 4, 5, 9 to `3-5` and `9`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [f"{first}" if first == last else f"{first}-{last}" for first, last in runs]
