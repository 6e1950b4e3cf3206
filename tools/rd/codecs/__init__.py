"""The codecs that `vqc rd` compares, one adapter class each, and how they are named on the command line.

A spec is a name with options: `jpeg`, `avif:speed=4`, `jpeg:subsampling=4:4:4:label=JPEG 4.4.4`, `webp:ladder=10/50/90`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

from vqc.tools.rd.medium import Medium
from vqc.tools.rd.picture import PICTURE
from vqc.tools.rd.sound import SOUND
from vqc.tools.rd.video import VIDEO

from .base import Codec, CodecUnavailable, Setting
from .own import VqcPicture, VqcSound, VqcVideo
from .pillow import Avif, Jpeg, Jpeg2000, JpegXl, WebP
from .program import Program
from .sound import Aac, Mp3, Opus
from .video import X264, X265, SvtAv1, Vp9
from .zoo import Zoo

# By medium and name.
CODECS: dict[str, dict[str, type[Codec]]] = {
    PICTURE.name: {
        "vqc": VqcPicture,
        "jpeg": Jpeg,
        "jpeg2000": Jpeg2000,
        "webp": WebP,
        "avif": Avif,
        "jxl": JpegXl,
        "zoo": Zoo,
    },
    SOUND.name: {"vqc": VqcSound, "opus": Opus, "aac": Aac, "mp3": Mp3},
    VIDEO.name: {"vqc": VqcVideo, "x264": X264, "x265": X265, "svt-av1": SvtAv1, "vp9": Vp9},
}
__all__ = ["CODECS", "Codec", "CodecUnavailable", "Program", "Setting", "make_codec", "make_codecs"]

# Only a colon that starts `key=` separates, so that values can be 4:4:4, C:\models or a URL.
_OPTION = re.compile(r":(?=[a-z_]+=)")
_CONVERTERS = {"int": int, "float": float, "str": str, "str | None": str}


def make_codecs(
    specs: Iterable[str], programs: Mapping[str, tuple[str, str]], threads: int, medium: Medium = PICTURE
) -> list[Codec]:
    """The codecs of several specs, in that order. programs: name -> (encode template, decode template).

    Raises ValueError for an unknown name, option or value, a program that no spec names, and two codecs of the same label.
    """
    specs = [spec.strip() for spec in specs]
    codecs = [make_codec(spec, programs, threads, medium) for spec in specs]
    if unused := programs.keys() - {_OPTION.split(spec)[0] for spec in specs}:
        raise ValueError(f"--program {', '.join(sorted(unused))} is not among --codecs")
    labels = [codec.label for codec in codecs]
    if doubles := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"several codecs are called {', '.join(doubles)}: give one of them a label=")
    return codecs


def make_codec(
    spec: str, programs: Mapping[str, tuple[str, str]], threads: int = 1, medium: Medium = PICTURE
) -> Codec:
    """The codec of one spec; see `make_codecs`."""
    name, *options = _OPTION.split(spec)
    kind = Program if name in programs else CODECS[medium.name].get(name)
    if kind is None:
        known = ", ".join((*CODECS[medium.name], *programs))
        raise ValueError(f"unknown codec of {medium.plural} {name!r}: choose from {known}")
    if kind.MEDIUM is not medium:
        raise ValueError(f"--program {name} is for {kind.MEDIUM.plural}, and the inputs are {medium.plural}")
    given: dict[str, object] = {}
    if name in programs:
        given["encoder"], given["decoder"] = programs[name]
    known = {field.name: field.type for field in dataclasses.fields(kind) if field.name not in {"threads", *given}}
    for option in options:
        key, _, value = option.partition("=")
        if key not in known:
            raise ValueError(f"codec {name} has no option {key!r}: choose from {', '.join(sorted(known))}")
        given[key] = _ladder(value) if key == "ladder" else _value(name, key, known[key], value)
    codec = kind(**{"label": spec, "threads": threads, **given})
    _check_ladder(codec)
    return codec


def _value(name: str, key: str, kind: str, text: str) -> object:
    if kind == "bool":
        if text not in ("0", "1"):
            raise ValueError(f"option {key} of codec {name} is 0 or 1, not {text!r}")
        return text == "1"
    try:
        return _CONVERTERS[kind](text)
    except ValueError:
        raise ValueError(f"option {key} of codec {name} is a number, not {text!r}") from None


def _check_ladder(codec: Codec) -> None:
    """Raises ValueError for settings that the codec does not have, where those are numbers of a known range."""
    if len(set(codec.ladder)) < len(codec.ladder) or "" in codec.ladder:
        raise ValueError(f"the ladder of {codec.label} has a setting twice or an empty one")
    if codec.LADDER and not isinstance(codec, Program):
        low, *_, high = sorted(codec.settings)
        if wrong := [rung for rung in codec.ladder if isinstance(rung, str) or not low <= rung <= high]:
            raise ValueError(f"the ladder of {codec.label} holds {wrong[0]}: settings are {low} to {high}")


def _ladder(text: str) -> tuple[Setting, ...]:
    return tuple(_number(rung) for rung in text.split("/"))


def _number(text: str) -> Setting:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
