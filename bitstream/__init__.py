"""Bytes: container, header, probability tables and range coder. FORMAT.md beside this file defines the format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .chunk import Chunk
from .container import Damage, Reader, Segment, Writer
from .errors import Corrupt, LimitExceeded, NotVqc, Truncated, UnsupportedModel, UnsupportedVersion, VqcError
from .header import VERSION, AudioHeader, CopiedSound, Header, ImageHeader, Versions, VideoHeader, unpack_header
from .index import Entry
from .limits import Limits

if TYPE_CHECKING:
    from .range_coder import SymbolDecoder, SymbolEncoder
    from .tables import TableSet

__all__ = [
    "VERSION",
    "AudioHeader",
    "Chunk",
    "CopiedSound",
    "Corrupt",
    "Damage",
    "Entry",
    "Header",
    "ImageHeader",
    "LimitExceeded",
    "Limits",
    "NotVqc",
    "Reader",
    "Segment",
    "SymbolDecoder",
    "SymbolEncoder",
    "TableSet",
    "Truncated",
    "UnsupportedModel",
    "UnsupportedVersion",
    "Versions",
    "VideoHeader",
    "VqcError",
    "Writer",
    "unpack_header",
]


def __getattr__(name: str) -> Any:
    # The coder brings numpy and constriction with it, which reading a header does without.
    if name in ("SymbolDecoder", "SymbolEncoder"):
        from . import range_coder

        return getattr(range_coder, name)
    if name == "TableSet":
        from .tables import TableSet

        return TableSet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
