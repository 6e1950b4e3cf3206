"""Places of files: paths, and URLs of stores that fsspec knows (`s3://…`, `gs://…`, `https://…`, `memory://…`).

fsspec is needed for URLs only, and imported when the first one comes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

# At least two letters, so that the drive of a Windows path is none.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(place: str) -> bool:
    """Whether the place is a URL, and not a path."""
    return _URL.match(place) is not None


def store_of(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it. Raises ImportError that tells what to install."""
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(f'{url} is a URL, which needs fsspec: pip install "vqc[cluster]" or pip install fsspec') from error
    return fsspec.core.url_to_fs(url)


def read_url(url: str) -> bytes:
    """What is stored there. Raises OSError."""
    store, path = store_of(url)
    return store.cat_file(path)


def readable(place: str) -> str | bytes:
    """The place as a source of vqc.api: a path as it is, of a URL its content."""
    return read_url(place) if is_url(place) else place


def exists(place: str) -> bool:
    """Whether there is something, be it a broken link."""
    if is_url(place):
        store, path = store_of(place)
        return store.exists(path)
    return os.path.lexists(place)


def size_of(place: str) -> int:
    """Bytes of the file. Raises OSError."""
    if is_url(place):
        store, path = store_of(place)
        return store.size(path)
    return os.path.getsize(place)


def files_below(url: str, wanted: Callable[[str], bool]) -> list[tuple[str, str]] | None:
    """Files below a folder of a store whose name is wanted, sorted, as (URL, path from the folder); None if it is no folder."""
    store, folder = store_of(url)
    if not store.isdir(folder):
        return None
    start = len(folder.rstrip("/")) + 1
    return [(store.unstrip_protocol(path), path[start:]) for path in sorted(store.find(folder)) if wanted(path)]
