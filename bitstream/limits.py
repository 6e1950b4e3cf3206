"""What a reader is willing to take on before it allocates anything."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import LimitExceeded

# Stands for "no limit" and is still an integer.
UNLIMITED = 2**63 - 1


@dataclass(frozen=True)
class Limits:
    """Upper bounds, each inclusive.

    pixels: width times height. side: width, and height. chunk: bytes of the payload of a chunk. metadata: bytes of all
    metadata and unknown chunks together, after decompression. segments: how many a file may have.
    samples: of a channel of sound.
    """

    pixels: int = 2**28
    side: int = 2**18
    chunk: int = 2**28
    metadata: int = 2**26
    segments: int = 2**20
    samples: int = 2**34

    @classmethod
    def none(cls) -> Limits:
        """No limits at all, for input that is trusted."""
        return cls(*[UNLIMITED] * 6)

    def check(self, name: str, value: int, offset: int | None = None, chunk: str | None = None) -> None:
        """Raises LimitExceeded when value is above the limit called name."""
        most = getattr(self, name)
        if value > most:
            raise LimitExceeded(f"{value} {name}: the limit is {most}", offset, chunk)
