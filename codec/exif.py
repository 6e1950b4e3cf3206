"""EXIF blocks of still pictures: finding them in what Pillow opened, and keeping their orientation true."""

from __future__ import annotations

from PIL import Image

_PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112

# Tags that describe how a TIFF file stores its samples: they belong to that file, and would be wrong in any other.
_STORAGE_TAGS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292, 293}
    | {297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339, 340, 341, 342, 347, 512}
    | {513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 700, 34675}
)


def exif_of(image: Image.Image) -> tuple[bytes | None, int]:
    """The EXIF block of a loaded image (from its TIFF header on, None where there is none) and its orientation, 1..8."""
    try:
        parsed = image.getexif()
        orientation = parsed.get(_ORIENTATION, 1)
    except Exception:  # Damaged EXIF raises almost anything; the block is kept as it is and says nothing.
        return bare(image.info.get("exif")), 1
    if image.info.get("exif"):
        block = bare(image.info["exif"])
    elif image.format in ("TIFF", "MPO") or len(parsed):
        block = _descriptive(parsed)
    else:
        block = None
    return block, orientation if orientation in range(1, 9) else 1


def bare(block: bytes | None) -> bytes | None:
    """The block from its TIFF header on, which is how PNG and WebP store it; JPEG puts `Exif` and two zeros before it."""
    return (block or b"").removeprefix(_PREFIX) or None


def with_prefix(block: bytes | None) -> bytes | None:
    """The block as JPEG stores it."""
    return _PREFIX + block if block else None


def with_orientation(block: bytes | None, orientation: int) -> bytes | None:
    """The block (or None) made to say `orientation`; byte for byte the same where it says so already."""
    exif = Image.Exif()
    try:
        if block:
            exif.load(block)
        if exif.get(_ORIENTATION, 1) == orientation:
            return block
    except Exception:  # Damaged EXIF cannot be edited: a right orientation is worth more than a block nobody can read.
        if orientation == 1:
            return block
        exif = Image.Exif()
    if orientation == 1:
        del exif[_ORIENTATION]
    else:
        exif[_ORIENTATION] = orientation
    return bare(exif.tobytes()) if len(exif) else None


def _descriptive(parsed: Image.Exif) -> bytes | None:
    """What a TIFF directory tells about the picture, as an EXIF block of its own."""
    kept = Image.Exif()
    for tag in parsed:
        if tag in _STORAGE_TAGS:
            continue
        group = parsed.get_ifd(tag) if tag in (0x8769, 0x8825) else None
        kept[tag] = dict(group) if group else parsed[tag]
    return bare(kept.tobytes()) if len(kept) else None
