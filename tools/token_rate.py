"""What entropy coding saves on tokens: `python -m vqc.tools.token_rate FOLDER --qualities 0,20,40,60,80,100`.

Every sound in the folder is encoded by the vector quantised model, to whole files. Beside their rate stands that of files whose
codes had log2(codebook size) bits each, all else being the same, and the part of the rate that is saved. Then the part of its
codes that a stage uses, of all stages together and of the one that uses fewest; and the least perplexity.
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


def measure(paths: list[Path], quality: float, model: str = weights.TOKEN_MODEL) -> dict[str, float]:
    """Over all files at one quality: real and fixed rate in kbit/s, part saved, part of the codes of a stage in use.

    used, least, perplexity: the mean over the stages, and the smallest figures of a stage.
    """
    decoder = weights.audio_decoder(model, torch.device("cpu"))
    stages, size = decoder.stages(round(quality * 10)), decoder.codes.size
    real = fixed = seconds = 0.0
    found = []
    for path in paths:
        data = vqc.encode(path, quality=quality, model=model)
        tokens = vqc.tokens.encode(data)
        real, fixed = real + len(data), fixed + fixed_size(data, stages, np.log2(size))
        seconds += tokens.samples / tokens.rate
        found.append(tokens)
    used = vqc.tokens.codes_used(found)
    return {
        "stages": stages,
        "kbps": 8 * real / seconds / 1000,
        "fixed": 8 * fixed / seconds / 1000,
        "saved": 1 - real / fixed,
        "used": sum(u for u, _ in used) / len(used),
        "least": min(u for u, _ in used),
        "perplexity": min(p for _, p in used),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qualities", default="0,20,40,60,80,100")
    parser.add_argument("--model", default=weights.TOKEN_MODEL)
    arguments = parser.parse_args()
    paths = list_sounds(arguments.folder)
    print("quality  stages  kbit/s  fixed length  saved  codes in use: mean, least, perplexity / size")
    for quality in map(float, arguments.qualities.split(",")):
        row = measure(paths, quality, arguments.model)
        print(
            f"{quality:7g}  {row['stages']:6d}  {row['kbps']:6.3f}  {row['fixed']:12.3f}  {row['saved']:5.1%}"
            f"  {row['used']:6.1%}, {row['least']:6.1%}, {row['perplexity']:5.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
