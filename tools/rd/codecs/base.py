"""What a codec is to `vqc rd`: real bytes out of an original and what they decode to, at a setting out of many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from vqc.tools.rd.medium import Medium

Setting = int | float | str


class CodecUnavailable(ValueError):
    """A codec whose library, model or program is not here; the message says what would bring it."""


@dataclass(frozen=True)
class Codec(ABC):
    """One codec with fixed options; picklable, so that worker processes and cluster nodes can have it.

    label: name in tables and plots. threads: those that encoder and decoder may use. ladder: settings to measure instead of
    the default ones, smallest file first. Options of a codec are further fields, of type int, float, str or bool.
    """

    label: str = ""
    threads: int = 1
    ladder: tuple[Setting, ...] = ()

    # What it codes; declared by every class that can be named on the command line.
    MEDIUM: ClassVar[Medium]
    # The usual range of quality, smallest file first. `--points N` takes N settings evenly spaced along it.
    LADDER: ClassVar[tuple[float, ...]] = ()

    @property
    @abstractmethod
    def settings(self) -> Sequence[Setting]:
        """Every setting there is, from the smallest file to the best quality."""

    @abstractmethod
    def encode(self, original: Any, setting: Setting) -> bytes:
        """The complete file for an original, as the medium loads it."""

    @abstractmethod
    def decode(self, data: bytes) -> Any:
        """What is in a file made by `encode`, in the same form."""

    @abstractmethod
    def version(self) -> str:
        """Library and version that does the work. Raises CodecUnavailable when it is not here."""

    def usual(self) -> tuple[float, ...]:
        """The usual range of quality, smallest file first, along which points are spread."""
        return self.LADDER

    def points(self, count: int) -> tuple[Setting, ...]:
        """`count` settings to measure, smallest file first; fewer where two of them would be the same."""
        if self.ladder:
            return self.ladder
        usual = self.usual()
        wanted = np.interp(np.linspace(0, len(usual) - 1, count), np.arange(len(usual)), usual)
        return tuple(dict.fromkeys(min(self.settings, key=lambda setting: abs(setting - value)) for value in wanted))

    def options(self) -> dict[str, Any]:
        """The options that are fixed, for the record."""
        return {key: value for key, value in asdict(self).items() if key not in ("label", "ladder")}
