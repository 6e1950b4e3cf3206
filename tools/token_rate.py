"""What entropy coding saves on tokens: `python -m vqc.tools.token_rate FOLDER --qualities 0,20,40,60,80,100`.

Every sound in the folder is encoded by the vector quantised model, to whole files. Beside their rate stands that of files whose
codes had log2(codebook size) bits each, all else being the same, and the part of the rate that is saved.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch

import vqc
from vqc.audio_payload import split_payload
from vqc.bitstream import Reader
from vqc.models import weights
from vqc.models.residual_vq import usage
from vqc.tools.train.sounds import list_sounds


def fixed_size(data: bytes, stages: int, bits: float) -> int:
    """Bytes of a file whose codes had `bits` bits each: of every span the coded symbols are taken out and these put in."""
    reader = Reader(io.BytesIO(data))
    size = len(data)
    for segment in reader.segments():
        span = split_payload(segment, reader.header)
        if span.data is not None:
            size += -(-int(span.frames * reader.header.channels * stages * bits) // 8) - len(span.data)
    return size


def measure(paths: list[Path], quality: float) -> dict[str, float]:
    """Over all files at one quality: real and fixed rate in kbit/s, part saved; least perplexity and use of a stage's codes."""
    decoder = weights.audio_decoder(weights.TOKEN_MODEL, torch.device("cpu"))
    stages, size = decoder.stages(round(quality * 10)), decoder.codes.size
    real = fixed = seconds = 0.0
    counts = np.zeros((stages, size))
    for path in paths:
        data = vqc.encode(path, quality=quality, model=weights.TOKEN_MODEL)
        tokens = vqc.tokens.encode(data)
        real, fixed = real + len(data), fixed + fixed_size(data, stages, np.log2(size))
        seconds += tokens.samples / tokens.rate
        for column, codes in enumerate(tokens.codes.T):
            counts[column % stages] += np.bincount(codes[codes >= 0], minlength=size)
    used = [usage(torch.from_numpy(row)) for row in counts]
    return {
        "stages": stages,
        "kbps": 8 * real / seconds / 1000,
        "fixed": 8 * fixed / seconds / 1000,
        "saved": 1 - real / fixed,
        "used": min(u for u, _ in used),
        "perplexity": min(p for _, p in used),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qualities", default="0,20,40,60,80,100")
    arguments = parser.parse_args()
    paths = list_sounds(arguments.folder)
    print("quality  stages  kbit/s  fixed length  saved  least use of a codebook, perplexity / size")
    for quality in map(float, arguments.qualities.split(",")):
        row = measure(paths, quality)
        print(
            f"{quality:7g}  {row['stages']:6d}  {row['kbps']:6.3f}  {row['fixed']:12.3f}  {row['saved']:5.1%}"
            f"  {row['used']:5.1%}, {row['perplexity']:5.1%}"
        )


if __name__ == "__main__":
    main()
