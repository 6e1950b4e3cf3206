"""Which medium the inputs of an evaluation are of: one, for curves of different media have no axis in common."""

from __future__ import annotations

from collections.abc import Iterable

from .files import files_among
from .medium import Medium
from .picture import PICTURE
from .sound import SOUND
from .video import VIDEO

# A file of two of them, such as a film with its sound, is of the first.
MEDIA = (VIDEO, SOUND, PICTURE)


def collect(inputs: Iterable[str]) -> tuple[Medium, list[str]]:
    """The medium of the inputs, and every file among them once, in order. A file of an unknown extension counts as a picture.

    Raises ValueError for files of several media, FileNotFoundError for an input that is not there or a folder without any.
    """
    files = list(dict.fromkeys(files_among(inputs, lambda name: _known(name) is not None)))
    first: dict[str, str] = {}
    for file in files:
        first.setdefault((_known(file) or PICTURE).name, file)
    if len(first) > 1:
        (one, file), (other, another), *_ = first.items()
        raise ValueError(f"{file} is a {one} and {another} a {other}: files of one medium can be compared")
    return next(medium for medium in MEDIA if medium.name in first), files


def _known(name: str) -> Medium | None:
    return next((medium for medium in MEDIA if medium.is_file(name)), None)
