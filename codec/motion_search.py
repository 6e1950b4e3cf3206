"""Motion of a frame against the one before: the vectors that x264 finds, which PyAV hands out.

Only the encoder searches. x264 weighs the cost of vectors against what they predict and does so in a few milliseconds; its
stream itself is thrown away.
"""

from __future__ import annotations

import av
import numpy as np

BLOCK = 8  # pixels, each way, that share a vector; vectors count quarters of a pixel
# As few modes as a field of one vector for 8x8 pixels of the previous frame can stand for.
_X264 = (
    "bframes=0:ref=1:weightp=0:scenecut=0:keyint=infinite:threads=1:partitions=p8x8:me=umh:merange=24:subme=4:trellis=0"
    ":rc-lookahead=0:sync-lookahead=0:no-mbtree=1"
)


class MotionSearch:
    """Finds the motion of frames that come one after the other.

    width, height: of the frames, multiples of 16. quantiser: x264's (0..51), which says what a vector may cost.
    """

    def __init__(self, width: int, height: int, quantiser: int) -> None:
        self.shape = height // BLOCK, width // BLOCK
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width, self._encoder.height, self._encoder.pix_fmt = width, height, "yuv420p"
        self._encoder.framerate = 25
        self._encoder.options = {"preset": "medium", "tune": "zerolatency", "qp": str(quantiser), "x264-params": _X264}
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.options = {"flags2": "+export_mvs", "flags": "+low_delay"}
        self._decoder.thread_count = 1

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        """A frame (3/2 height, width) uint8, as PyAV lays out yuv420p, to vectors (height/8, width/8, 2) int16.

        [..., 0] is horizontal, [..., 1] vertical; the block at (x, y) looks like what stood at (x, y) + vector / 4. Blocks
        that x264 finds nowhere, and all of the first frame, have the vector of the block left of them, or 0.
        """
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        found = [f for packet in self._encoder.encode(frame) for f in self._decoder.decode(packet)]
        if len(found) != 1:
            raise RuntimeError(f"x264 gave {len(found)} frames for one")
        field = np.zeros((*self.shape, 2), np.int16)
        side = found[0].side_data.get("MOTION_VECTORS")
        vectors = side.to_ndarray() if side is not None else []
        if len(vectors) == 0:
            return field
        known = np.zeros(self.shape, bool)
        columns, rows = (vectors["dst_x"] - vectors["w"] // 2) // BLOCK, (vectors["dst_y"] - vectors["h"] // 2) // BLOCK
        value = np.stack([vectors["motion_x"], vectors["motion_y"]], axis=1) * 4 // vectors["motion_scale"][:, None]
        for down in range(2):
            for right in range(2):
                part = (vectors["h"] > down * BLOCK) & (vectors["w"] > right * BLOCK)
                field[rows[part] + down, columns[part] + right] = value[part]
                known[rows[part] + down, columns[part] + right] = True
        source = np.maximum.accumulate(np.where(known, np.arange(self.shape[1]), 0), axis=1)
        return np.take_along_axis(field, source[..., None], axis=1)


def quantiser(quality: int) -> int:
    """The x264 quantiser to search with for quality 0..1000: fine, as motion_refinement.py leaves out what is not worth it."""
    return round(32 - quality * 0.012)
