"""Any encoder and decoder that run as programs, given by two command templates."""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from vqc.tools.rd.picture import PICTURE

from .base import Codec, CodecUnavailable, Setting

# A program that waits for input, or for ever, must not stop a long evaluation.
_LONGEST = 3600.0


@dataclass(frozen=True)
class Program(Codec):
    """encoder, decoder: command lines, run without a shell, in which {quality}, {threads}, and file names are filled in.

    The encoder reads {source}, a PNG, and writes {coded}; the decoder reads {coded} and writes {decoded}, in a format that
    Pillow reads. extension: of {decoded}. The times include starting the program and its reading and writing of files.
    """

    encoder: str = ""
    decoder: str = ""
    extension: str = ".png"

    MEDIUM: ClassVar = PICTURE
    LADDER: ClassVar = (10, 25, 40, 55, 70, 80, 90, 95)

    def __post_init__(self) -> None:
        """Raises ValueError for a template that cannot be filled in, before hours of work end in that."""
        for template, names in ((self.encoder, ("quality", "source", "coded")), (self.decoder, ("coded", "decoded"))):
            try:
                command = self._command(template, **dict.fromkeys(names, ""))
            except (LookupError, ValueError) as error:
                what = f"{{{error.args[0]}}} is not known" if isinstance(error, KeyError) else error
                known = ", ".join(f"{{{name}}}" for name in (*names, "threads"))
                raise ValueError(f"command `{template}`: {what} (it can hold {known}; other braces are doubled)") from error
            if not command:
                raise ValueError("a program needs a command line")

    @property
    def settings(self) -> Sequence[Setting]:
        return self.ladder or range(101)

    def encode(self, original: np.ndarray, setting: Setting) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, coded = Path(folder, "source.png"), Path(folder, "coded")
            Image.fromarray(original).save(source, compress_level=1)
            self._run(self.encoder, quality=setting, source=source, coded=coded)
            return coded.read_bytes()

    def decode(self, data: bytes) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            coded, decoded = Path(folder, "coded"), Path(folder, f"decoded{self.extension}")
            coded.write_bytes(data)
            self._run(self.decoder, coded=coded, decoded=decoded)
            with Image.open(io.BytesIO(decoded.read_bytes())) as picture:
                return np.asarray(picture.convert("RGB"))

    def version(self) -> str:
        """The encoder's file by its SHA-256: programs tell their versions in too many ways."""
        name = shlex.split(self.encoder)[0]
        path = shutil.which(name)
        if path is None:
            raise CodecUnavailable(f"program {name} not found")
        return f"{Path(path).name} sha256:{sha256(Path(path).read_bytes()).hexdigest()[:16]}"

    def _run(self, template: str, **values: object) -> None:
        command = self._command(template, **values)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST)
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise ChildProcessError(None, ": ".join((f"{command[0]} ended with {done.returncode}", *last)))

    def _command(self, template: str, **values: object) -> list[str]:
        # Filled in after splitting, so that a file name with a space stays one argument.
        return [part.format(threads=self.threads, **values) for part in shlex.split(template)]
