"""The rate of fixed length is that of the file with its coded symbols taken out."""

from pathlib import Path

import vqc
from vqc.models.weights import TOKEN_MODEL
from vqc.tools.token_rate import fixed_size, measure

TALK = Path(__file__).parents[2] / "samples" / "talk.flac"


def test_fixed_size_counts_every_code():
    data = vqc.encode(TALK, quality=20, model=TOKEN_MODEL)
    codes = vqc.tokens.encode(data).codes
    spans = [min(128, len(codes) - 128 * n) for n in range(-(-len(codes) // 128))]
    payload = sum(-(-frames * codes.shape[1] * 10 // 8) for frames in spans)
    assert 0 < fixed_size(data, codes.shape[1], 10) - payload < 160, "what is left is head, index and the heads of spans"


def test_measured_rates_agree_with_files():
    row = measure([TALK], 10)
    size = len(vqc.encode(TALK, quality=10, model=TOKEN_MODEL))
    assert abs(row["kbps"] - 8 * size / 3000) < 1e-9 and 0 < row["used"] <= 1 and 0 < row["perplexity"] <= 1
    assert abs(row["saved"] - (1 - row["kbps"] / row["fixed"])) < 1e-9
