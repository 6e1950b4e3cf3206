"""Motion of frames against those they are predicted from: what x264 finds, which PyAV hands out.

Only the encoder searches. x264 weighs the cost of vectors against what they predict and does so in a few milliseconds, and
decides which frames are worth predicting from both sides; its stream itself is thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

from vqc.models.motion import AFTER, ALL, BEFORE

BLOCK = 8  # pixels, each way, that share a vector; vectors count quarters of a pixel
LONGEST_RUN = 4  # frames, of which x264 predicts all but the last from both sides, in the order of frame_order.py
# As few modes as fields of one vector a side for 8x8 pixels can stand for.
_X264 = (
    "bframes={between}:b-adapt={adapt}:b-pyramid=normal:ref=1:weightp=0:weightb=0:scenecut=0:keyint=infinite:threads=1"
    ":partitions=p8x8,b8x8:me=umh:merange=24:subme=6:trellis=0:rc-lookahead=8:sync-lookahead=0:no-mbtree=1:aq-mode=0"
)
_B_FRAME = 3  # as PyAV counts types of pictures


@dataclass
class Found:
    """Motion of a frame: fields (s, H/8, W/8, 2) int16, horizontal first; the block at (x, y) looks like what stood at
    (x, y) + vector / 4. modes (H/16, W/16): see motion.py."""

    fields: np.ndarray
    modes: np.ndarray


class MotionSearch:
    """Finds the motion of frames that come one after the other.

    width, height: of the frames, multiples of 16. quantiser: x264's (0..51), which says what a vector may cost. longest: frames
    of a run at most; 1 to predict all from the one before, with no delay. adapt: whether x264 chooses how long runs are.
    """

    def __init__(self, width: int, height: int, quantiser: int, longest: int = LONGEST_RUN, adapt: bool = True) -> None:
        self.shape = height // BLOCK, width // BLOCK
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width, self._encoder.height, self._encoder.pix_fmt = width, height, "yuv420p"
        self._encoder.framerate = 25
        options = {"preset": "medium", "qp": str(quantiser)} | ({"tune": "zerolatency"} if longest == 1 else {})
        parameters = _X264.format(between=longest - 1, adapt=int(adapt))
        self._encoder.options = options | {"x264-params": parameters}
        self._decoder = av.CodecContext.create("h264", "r")
        self._decoder.options = {"flags2": "+export_mvs"} | ({"flags": "+low_delay"} if longest == 1 else {})
        self._decoder.thread_count = 1
        self._given = 0
        self._run: list[Found] = []

    def __call__(self, planes: np.ndarray) -> list[list[Found]]:
        """Takes a frame (3/2 height, width) uint8, as PyAV lays out yuv420p; gives the runs that are complete by now, each the
        motion of its frames in the order of time. The first frame has none and is no part of a run."""
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = self._given
        self._given += 1
        return self._take(frame)

    def rest(self) -> list[list[Found]]:
        """The runs that are left when there are no more frames."""
        return self._take(None)

    def _take(self, frame: av.VideoFrame | None) -> list[list[Found]]:
        decoded = [f for packet in self._encoder.encode(frame) for f in self._decoder.decode(packet)]
        if frame is None:
            decoded += self._decoder.decode(None)
        runs = []
        for one in decoded:
            if one.pts == 0:
                continue
            self._run.append(self._found(one))
            if one.pict_type != _B_FRAME:
                runs.append(self._run)
                self._run = []
        return runs

    def _found(self, frame: av.VideoFrame) -> Found:
        sides = 2 if frame.pict_type == _B_FRAME else 1
        fields = np.zeros((sides, *self.shape, 2), np.int16)
        known = np.zeros((sides, *self.shape), bool)
        data = frame.side_data.get("MOTION_VECTORS")
        vectors = data.to_ndarray() if data is not None else []
        if len(vectors):
            side = (vectors["source"] > 0).astype(np.intp)
            columns, rows = ((vectors[f"dst_{a}"] - vectors[s] // 2) // BLOCK for a, s in (("x", "w"), ("y", "h")))
            value = np.stack([vectors["motion_x"], vectors["motion_y"]], axis=1) * 4 // vectors["motion_scale"][:, None]
            for down in range(2):
                for right in range(2):
                    part = (vectors["h"] > down * BLOCK) & (vectors["w"] > right * BLOCK)
                    place = side[part], rows[part] + down, columns[part] + right
                    fields[place], known[place] = value[part], True
        # Blocks that x264 finds nowhere have the vector of the block left of them, or 0.
        source = np.maximum.accumulate(np.where(known, np.arange(self.shape[1]), 0), axis=2)
        return Found(np.take_along_axis(fields, source[..., None], axis=2), _modes(known))


def _modes(known: np.ndarray) -> np.ndarray:
    """Which blocks (s, 2h, 2w) have a vector, to the modes of squares (h, w): the side that more blocks have, else all."""
    sides, rows, columns = known.shape
    modes = np.full((rows // 2, columns // 2), ALL)
    if sides == 2:
        count = known.reshape(2, rows // 2, 2, columns // 2, 2).sum((2, 4))
        modes[count[0] > count[1]] = BEFORE
        modes[count[0] < count[1]] = AFTER
    return modes


def quantiser(quality: int) -> int:
    """The x264 quantiser to search with for quality 0..1000 of a file: fine, as motion_refinement.py leaves out what is not
    worth it."""
    return round(35 - quality * 0.012)
