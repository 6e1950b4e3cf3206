"""Inputs and outputs by path or by fsspec URL (`s3://…`, `gs://…`, `memory://…`); fsspec is needed for URLs only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vqc.batch import files_in
from vqc.commands.encode import is_picture
from vqc.outputs import open_output


def is_url(place: str) -> bool:
    """Whether the place is a URL for fsspec, and not a path."""
    return "://" in place


def pictures(inputs: Iterable[str]) -> Iterator[str]:
    """Every picture among the inputs, files as given and folders walked in sorted order. Raises FileNotFoundError for an input
    that is not there and for a folder without pictures."""
    for given in inputs:
        found = _remote_pictures(given) if is_url(given) else [path for path, _ in files_in([given], is_picture)]
        if found == [given] and os.path.isdir(given):
            raise FileNotFoundError(None, "no pictures in this folder", given)
        if not is_url(given) and not os.path.exists(given):
            raise FileNotFoundError(None, "no such file or folder", given)
        yield from found


def _remote_pictures(url: str) -> list[str]:
    system, path = _filesystem(url)
    if not system.isdir(path):
        return [url]
    found = [system.unstrip_protocol(name) for name in sorted(system.find(path)) if is_picture(name)]
    if not found:
        raise FileNotFoundError(None, "no pictures in this folder", url)
    return found


def read_bytes(place: str) -> bytes:
    """The content of a file. Raises OSError."""
    if is_url(place):
        system, path = _filesystem(place)
        return system.cat_file(path)
    return Path(place).read_bytes()


class OutputFolder:
    """A folder to write a report into. Local files appear whole or not at all; objects of a store do so by nature."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.remote = is_url(place)
        if self.remote:
            self._system, self._path = _filesystem(place)
            self._system.makedirs(self._path, exist_ok=True)
        else:
            os.makedirs(place, exist_ok=True)

    def where(self, name: str) -> str:
        """The place of a file in the folder; name: its parts joined by `/`."""
        return f"{self.place.rstrip('/')}/{name}" if self.remote else os.path.join(self.place, *name.split("/"))

    def write(self, name: str, content: bytes | str) -> None:
        """Write a file, replacing one of that name."""
        data = content.encode() if isinstance(content, str) else content
        if self.remote:
            self._system.makedirs(f"{self._path}/{name}".rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(f"{self._path}/{name}", data)
            return
        os.makedirs(os.path.dirname(self.where(name)) or ".", exist_ok=True)
        with open_output(self.where(name), force=True) as file:
            file.write(data)

    def read(self, name: str) -> bytes:
        return read_bytes(self.where(name))

    def names(self, prefix: str) -> list[str]:
        """Names of the files directly in the folder that begin with `prefix`, sorted."""
        if self.remote:
            self._system.invalidate_cache()
            found = (path.rpartition("/")[2] for path in self._system.ls(self._path, detail=False))
        else:
            found = iter(os.listdir(self.place))
        return sorted(name for name in found if name.startswith(prefix))

    def remove(self, name: str) -> None:
        if self.remote:
            self._system.rm_file(f"{self._path}/{name}")
        else:
            os.remove(self.where(name))


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(f'{url} is a URL, and URLs need fsspec: pip install "vqc[cluster]" or pip install fsspec') from error
    return fsspec.core.url_to_fs(url)
