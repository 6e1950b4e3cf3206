"""Inputs and outputs of an evaluation, by path or URL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vqc.batch import files_in
from vqc.outputs import open_output
from vqc.places import is_url, read_url, store_of


def files_among(inputs: Iterable[str], wanted: Callable[[str], bool]) -> Iterator[str]:
    """Every file among the inputs, those given as they are, and of folders, walked in sorted order, those that are wanted.

    Raises FileNotFoundError for an input that is not there and for a folder without such files.
    """
    for given in inputs:
        found = [place for place, _ in files_in([given], wanted)]
        if found == [given] and _is_folder(given):
            raise FileNotFoundError(None, "no pictures, sounds or videos in this folder", given)
        if found == [given] and not _exists(given):
            raise FileNotFoundError(None, "no such file or folder", given)
        yield from found


def _exists(place: str) -> bool:
    if not is_url(place):
        return os.path.exists(place)
    store, path = store_of(place)
    return store.exists(path)


def _is_folder(place: str) -> bool:
    if not is_url(place):
        return os.path.isdir(place)
    store, path = store_of(place)
    return store.isdir(path)


def same_place(place: str) -> str:
    """One spelling of a path; of a URL the only one."""
    return place if is_url(place) else os.path.abspath(place)


def read_bytes(place: str) -> bytes:
    """The content of a file. Raises OSError."""
    return read_url(place) if is_url(place) else Path(place).read_bytes()


class OutputFolder:
    """A folder to write a report into, made if need be."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.remote = is_url(place)
        if self.remote:
            store, path = store_of(place)
            store.makedirs(path, exist_ok=True)
        else:
            os.makedirs(place, exist_ok=True)

    def where(self, name: str) -> str:
        """The place of a file in the folder; name: its parts joined by `/`."""
        return f"{self.place.rstrip('/')}/{name}" if self.remote else os.path.join(self.place, *name.split("/"))

    def write(self, name: str, content: bytes | str) -> None:
        """Write a file, whole or not at all, replacing one of that name."""
        if not self.remote:
            os.makedirs(os.path.dirname(self.where(name)), exist_ok=True)
        with open_output(self.where(name), force=True) as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def read(self, name: str) -> bytes:
        return read_bytes(self.where(name))

    def names(self, prefix: str) -> list[str]:
        """Names of the files directly in the folder that begin with `prefix`, sorted."""
        if self.remote:
            store, path = store_of(self.place)
            store.invalidate_cache()
            found = (entry.rpartition("/")[2] for entry in store.ls(path, detail=False))
        else:
            found = iter(os.listdir(self.place))
        return sorted(name for name in found if name.startswith(prefix))

    def remove(self, name: str) -> None:
        if self.remote:
            store, path = store_of(self.where(name))
            store.rm_file(path)
        else:
            os.remove(self.where(name))
