"""What quality the frames of a group have, and what a bit is worth in them, by the one number that users give."""

from __future__ import annotations

from vqc.models.entropy_model import QUALITY_MAX

LEVEL_QUALITY = 0.776  # of quality on the scale of the networks, which goes on for first pictures; segments have that scale
# Of the picture that a group begins with, on the scale of the image model: at quality 0, and more for each step of quality. The
# same lambda would be 186; what is lower serves best (docs/architecture.md).
PICTURE_QUALITY = (141, 0.814)
PLAIN = 900  # quality above which pictures are enhanced: the image model ends at 1000, and takes more bits long before
USUAL_WORTH = 100  # see persistence.py
# Of predicted frames by depth, as fewer others are predicted from them: quality beside the one asked for, and how much a bit is
# worth when it is decided which blocks are coded.
DEEPER = (0, -170, -280)
THRIFT = (0.6, 1.0, 1.4)


def picture_quality(quality: int, worth: int = USUAL_WORTH) -> int:
    """Quality that the picture which a group begins with is to have, on the scale of the image model and beyond its end, 1000;
    worth: see persistence.py."""
    first, slope = PICTURE_QUALITY
    return max(round(first + slope * quality + worth), 0)


def enhancement_quality(wanted: int) -> int:
    """Of the enhancement of a picture that is to have quality `wanted` on the scale of the image model."""
    first, slope = PICTURE_QUALITY
    return min(max(round(LEVEL_QUALITY * (wanted - first) / slope), 0), QUALITY_MAX)


def qualities_for(quality: int) -> tuple[int, ...]:
    """Qualities of predicted frames by depth, on the scale of the networks; see DEEPER."""
    return tuple(round(LEVEL_QUALITY * max(quality + offset, 0)) for offset in DEEPER)
