"""vqc: learned compression of pictures, sound and video into one versioned container.

    import vqc
    data = vqc.encode("photo.png", quality=60)
    picture = vqc.decode(data).image
    data = vqc.encode("talk.wav", bitrate=6)
    sound = vqc.decode(data).samples
    codes = vqc.tokens.encode("talk.wav", bitrate=2).codes
    data = vqc.encode("clip.mp4", quality=40)
    for frame in vqc.decode(data):
        ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import tokens
    from .api import (
        CopiedSoundInfo,
        Damage,
        Decoded,
        Info,
        Report,
        SoundInfo,
        VideoInfo,
        decode,
        encode,
        encode_to,
        inspect,
        open_sound_stream,
        open_video_stream,
        verify,
    )

__all__ = [
    "CopiedSoundInfo",
    "Damage",
    "Decoded",
    "Info",
    "Report",
    "SoundInfo",
    "VideoInfo",
    "__version__",
    "decode",
    "encode",
    "encode_to",
    "inspect",
    "open_sound_stream",
    "open_video_stream",
    "tokens",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Loads the interface on first use, so that `import vqc` costs nothing."""
    if name == "tokens":
        from importlib import import_module

        return import_module(".tokens", __name__)
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module 'vqc' has no attribute {name!r}")
