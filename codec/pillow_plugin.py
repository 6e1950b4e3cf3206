"""Pillow reads and writes .vqc files once this module is imported: `Image.open("x.vqc")`, `image.save("x.vqc", quality=60)`.

Save options: quality, bpp, target_size, effort and strip as in `vqc.encode`; icc_profile, exif and xmp replace the image's own.
Pillow finds plug-ins by import only, so a program that wants this one writes `import vqc.pillow_plugin`.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from PIL import Image, ImageFile

import vqc
from vqc.bitstream.errors import VqcError
from vqc.bitstream.header import SIGNATURE

from .image_writers import pillow_metadata

_FORMAT = "VQC"
_OPTIONS = ("quality", "bpp", "target_size", "effort", "strip")
_MODES = {(1, 8, False): "L", (1, 8, True): "LA", (3, 8, False): "RGB", (3, 8, True): "RGBA", (1, 16, False): "I;16"}


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


class VqcImageFile(ImageFile.ImageFile):
    """A .vqc picture. Opening reads its header and metadata, loading decodes it."""

    format = _FORMAT
    format_description = "vqc learned codec"

    def _open(self) -> None:
        self._data: bytes | None = self.fp.read()
        try:
            info = vqc.inspect(self._data)
        except VqcError as error:
            raise OSError(f"cannot open vqc file: {error}") from error
        if info.media != "image":
            raise OSError(f"cannot open vqc file: it holds {info.media}")
        mode = _MODES.get((info.channels, info.depth, bool(info.alpha)))
        if mode is None:
            raise OSError("Pillow has no mode for 16-bit colour or alpha: use vqc.decode, which returns an array")
        self._mode = mode
        self._size = info.width, info.height
        self.info.update(pillow_metadata(info.metadata, info.orientation))

    def load(self) -> Image.core.PixelAccess | None:
        if self._data is not None:
            try:
                image = vqc.decode(self._data).image
            except VqcError as error:
                raise OSError(f"cannot decode vqc file: {error}") from error
            image.load()
            self.im = image.im
            self._data = None
            if self._exclusive_fp:
                self.fp.close()
        return super().load()


def _save(image: Image.Image, file: BinaryIO, filename: str | bytes) -> None:
    given: dict[str, Any] = image.encoderinfo
    options = {name: given[name] for name in _OPTIONS if given.get(name) is not None}
    replaced = {name: given[name] for name in ("icc_profile", "exif", "xmp") if name in given}
    if replaced:
        image = image.copy()
        for name, block in replaced.items():
            image.info[name] = block.tobytes() if isinstance(block, Image.Exif) else block
    file.write(vqc.encode(image, **options))


Image.register_open(_FORMAT, VqcImageFile, _accept)
Image.register_save(_FORMAT, _save)
Image.register_extension(_FORMAT, ".vqc")
