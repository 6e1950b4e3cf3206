"""A file decodes to the same symbols, and to pixels within 1 of 255, in every condition this machine can be put into."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from vqc.models.weights import AUDIO_MODEL, TOKEN_MODEL

CONDITIONS = {
    "two threads": {},
    "one thread": {"THREADS": "1"},
    "no vector instructions": {"ATEN_CPU_CAPABILITY": "default"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "SSE4.1 in oneDNN": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "without oneDNN": {"MKLDNN": "off"},
    "reduced precision asked for": {"PRECISION": "medium"},
}

DECODE = """
import os, sys
import numpy as np, torch, vqc
from vqc.tools.golden import symbols_digest
torch.set_num_threads(int(os.environ.get("THREADS", "2")))
torch.backends.mkldnn.enabled = os.environ.get("MKLDNN", "on") == "on"
torch.set_float32_matmul_precision(os.environ.get("PRECISION", "highest"))
device = os.environ.get("DEVICE", "cpu")
file, out = sys.argv[1:]
np.save(out, vqc.decode(file, device=device).pixels)
print(symbols_digest(open(file, "rb").read(), device))
"""


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """A picture of odd size with texture and edges, coded here; its path."""
    import vqc

    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:203, 0:317]
    picture = np.stack([128 + 90 * np.sin(x / 9 + y / 31), 128 + 80 * np.cos(y / 7), (x * y) % 256], axis=-1)
    picture += rng.normal(0, 12, picture.shape)
    path = tmp_path_factory.mktemp("exact") / "picture.vqc"
    path.write_bytes(vqc.encode(np.clip(picture, 0, 255).astype(np.uint8), quality=55))
    return path


def decode(coded, tmp_path, condition):
    out = tmp_path / "pixels.npy"
    run = subprocess.run(
        [sys.executable, "-c", DECODE, str(coded), str(out)],
        env=os.environ | condition, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.strip(), np.load(out).astype(int)


@pytest.fixture(scope="module")
def plain(coded, tmp_path_factory):
    return decode(coded, tmp_path_factory.mktemp("plain"), {})


@pytest.mark.parametrize("name", [n for n in CONDITIONS if n != "two threads"])
def test_symbols_and_pixels_are_the_same(coded, plain, tmp_path, name):
    symbols, pixels = decode(coded, tmp_path, CONDITIONS[name])
    assert symbols == plain[0]
    assert np.abs(pixels - plain[1]).max() <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_symbols_and_pixels_are_the_same_on_cuda(coded, plain, tmp_path):
    symbols, pixels = decode(coded, tmp_path, {"DEVICE": "cuda"})
    assert symbols == plain[0]
    assert np.abs(pixels - plain[1]).max() <= 1


def test_a_wrong_symbol_would_be_seen(coded):
    """The digest in the file is that of the symbols: one unit more in one symbol changes it."""
    from vqc.bitstream import Reader, SymbolEncoder
    from vqc.image_decoding import load_image_decoder
    from vqc.latent_coding import table_set

    reader = Reader(io.BytesIO(coded.read_bytes()))
    decoder = load_image_decoder(reader.header, torch.device("cpu"))
    ids = np.full(20, 5, np.uint8)
    digests = []
    for wrong in (0, 1):
        sink = SymbolEncoder(table_set(decoder))
        symbols = np.zeros(20, np.int32)
        symbols[7] = wrong
        sink.write(symbols, ids)
        digests.append(sink.digest)
    assert digests[0] != digests[1]


DECODE_SOUND = """
import os, sys, hashlib
import numpy as np, torch, vqc
from vqc.bitstream import Reader
from vqc.audio_decoding import SpanDecoder
torch.set_num_threads(int(os.environ.get("THREADS", "2")))
torch.backends.mkldnn.enabled = os.environ.get("MKLDNN", "on") == "on"
torch.set_float32_matmul_precision(os.environ.get("PRECISION", "highest"))
device = os.environ.get("DEVICE", "cpu")
file, out = sys.argv[1:]
np.save(out, vqc.decode(file, device=device).samples)
digest = hashlib.sha256()
with open(file, "rb") as opened:
    for latents in SpanDecoder(Reader(opened), torch.device(device), False)._spans(0):
        digest.update(latents.tobytes())
print(digest.hexdigest())
"""


@pytest.fixture(scope="module", params=[AUDIO_MODEL, TOKEN_MODEL])
def coded_sound(request, tmp_path_factory):
    import vqc

    path = tmp_path_factory.mktemp("exact") / "sound.vqc"
    sample = os.path.join(os.path.dirname(__file__), "..", "samples", "tune.flac")
    path.write_bytes(vqc.encode(sample, quality=60, model=request.param))
    return path


def decode_sound(coded, out, condition):
    run = subprocess.run(
        [sys.executable, "-c", DECODE_SOUND, str(coded), str(out)],
        env=os.environ | condition, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.strip(), np.load(out)


@pytest.fixture(scope="module")
def plain_sound(coded_sound, tmp_path_factory):
    return decode_sound(coded_sound, tmp_path_factory.mktemp("plain") / "samples.npy", {})


@pytest.mark.parametrize("name", [n for n in CONDITIONS if n != "two threads"])
def test_latents_and_samples_of_sound_are_the_same(coded_sound, plain_sound, tmp_path, name):
    latents, samples = decode_sound(coded_sound, tmp_path / "samples.npy", CONDITIONS[name])
    assert latents == plain_sound[0]
    # A processor with bfloat16 gives the reduced precision that is asked for; what is decoded are the same latents.
    assert np.abs(samples - plain_sound[1]).max() < (1e-2 if "precision" in name else 1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_latents_and_samples_of_sound_are_the_same_on_cuda(coded_sound, plain_sound, tmp_path):
    latents, samples = decode_sound(coded_sound, tmp_path / "samples.npy", {"DEVICE": "cuda"})
    assert latents == plain_sound[0]
    assert np.abs(samples - plain_sound[1]).max() < 1e-2


DECODE_VIDEO = DECODE.replace(
    "vqc.decode(file, device=device).pixels", "np.stack([frame.y for frame in vqc.decode(file, device=device)])"
)


@pytest.fixture(scope="module")
def coded_video(tmp_path_factory):
    """The sample as one group of 25 frames."""
    import vqc

    path = tmp_path_factory.mktemp("exact") / "clip.vqc"
    sample = os.path.join(os.path.dirname(__file__), "..", "samples", "clip.mkv")
    path.write_bytes(vqc.encode(sample, quality=50, sound=False))
    return path


def decode_video(coded, out, condition):
    run = subprocess.run(
        [sys.executable, "-c", DECODE_VIDEO, str(coded), str(out)],
        env=os.environ | condition, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.strip(), np.load(out).astype(int)


@pytest.fixture(scope="module")
def plain_video(coded_video, tmp_path_factory):
    return decode_video(coded_video, tmp_path_factory.mktemp("plain") / "frames.npy", {})


@pytest.mark.parametrize("name", [n for n in CONDITIONS if n != "two threads"])
def test_symbols_and_frames_of_video_are_the_same(coded_video, plain_video, tmp_path, name):
    symbols, frames = decode_video(coded_video, tmp_path / "frames.npy", CONDITIONS[name])
    assert symbols == plain_video[0]
    assert np.abs(frames - plain_video[1]).max() <= 1


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """300 frames in one group: a texture that moves, under noise that changes."""
    import vqc
    from vqc.video import Frame

    rng = np.random.default_rng(2)
    texture = rng.normal(0, 1, (96, 128)).cumsum(0).cumsum(1)
    texture = 128 + 60 * np.sin(texture / 8)

    def frames():
        for t in range(300):
            y = np.roll(texture, (t // 3, -t // 2), (0, 1))[:64, :80] + rng.normal(0, 3, (64, 80))
            uv = np.stack([y[::2, ::2], 255 - y[::2, ::2]]) / 2 + 64
            yield Frame(y.clip(0, 255).astype(np.uint8), uv.clip(0, 255).astype(np.uint8), t)

    path = tmp_path_factory.mktemp("exact") / "long.vqc"
    path.write_bytes(vqc.encode(frames(), fps=25, quality=40, group=300))
    return path


def test_frames_hardly_drift_apart_over_300(long_video, monkeypatch):
    """Pixels that differ by one level become more from frame to frame, 5 % after 300 here; the next group begins anew."""
    import vqc

    def decoded():
        return np.stack([np.concatenate([f.y.ravel(), f.uv.ravel()]) for f in vqc.decode(long_video, threads=1)]).astype(int)

    frames = decoded()
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    apart = np.abs(frames - decoded())
    assert len(apart) == 300 and apart.max() <= 1
    assert apart[:32].mean() < 0.02 and apart[-32:].mean() < 0.15


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_symbols_and_frames_of_video_are_the_same_on_cuda(coded_video, plain_video, tmp_path):
    symbols, frames = decode_video(coded_video, tmp_path / "frames.npy", {"DEVICE": "cuda"})
    assert symbols == plain_video[0]
    assert np.abs(frames - plain_video[1]).max() <= 1
