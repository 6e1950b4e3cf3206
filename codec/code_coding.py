"""Codes of a vector quantiser to coded bytes and back: where `CodeModel.steps` meets the range coder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vqc.bitstream import SymbolDecoder, SymbolEncoder, TableSet
from vqc.models.audio_rvq import RvqDecoder
from vqc.models.code_model import CodeStep

from .latent_coding import check_end, run_steps
from .timing import span

# The coder wants a set of tables; no symbol uses it, since each brings its own.
_UNUSED = TableSet(*(np.array([value]) for value in (0, 1, 1)))


def encode_codes(
    decoder: RvqDecoder, choose: Callable[[CodeStep], np.ndarray], h: int, w: int, quality: int
) -> tuple[bytes, int]:
    """What `choose` answers to every step on a grid of h x w positions, to bytes and digest of the codes."""
    sink = SymbolEncoder(_UNUSED)

    def code(step: CodeStep) -> np.ndarray:
        with span("transform"):
            codes = choose(step)
        with span("coder"):
            sink.write_each(codes, step.counts)
        return codes

    run_steps(decoder.steps(h, w, quality), code)
    with span("coder"):
        return sink.finish(), sink.digest


def decode_codes(decoder: RvqDecoder, data: bytes, digest: int, h: int, w: int, quality: int) -> np.ndarray:
    """The inverse: codes (h * w, stages); raises Corrupt when they are not those written."""
    source = SymbolDecoder(_UNUSED, data)

    def code(step: CodeStep) -> np.ndarray:
        with span("coder"):
            return source.read_each(step.counts)

    codes = run_steps(decoder.steps(h, w, quality), code)
    check_end(source, digest)
    return codes
