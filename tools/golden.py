"""Makes the golden files of this format version and model: `python -m vqc.tools.golden samples tests/golden`.

Run once for a new format version or model. Files that exist are never made again: they must decode for ever.
"""

import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch

import vqc
from vqc.audio_decoding import decode_symbols, load_audio_decoder
from vqc.audio_payload import split_payload
from vqc.bitstream import AudioHeader, Reader, VideoHeader
from vqc.image_decoding import decode_tile, load_image_decoder
from vqc.image_tiles import Tiling
from vqc.video import Frame
from vqc.video_decoding import grid_of, load_video_decoder, read_picture, read_predicted
from vqc.video_payload import FRAMES, unpack_group

SOUND_QUALITY = {"aud2": {"talk": 50, "tune": 70}, "rvq2": {"talk": 20, "tune": 40}}
QUALITY = {"photo": 40, "drawing": 70, "gradient": 90}


def symbols_digest(data: bytes, device: str = "cpu") -> str:
    """SHA-256 of the quantised latents (in 1/64 steps) or codes of all tiles or spans, int64 little-endian."""
    reader = Reader(io.BytesIO(data))
    header = reader.header
    if isinstance(header, AudioHeader):
        return _sound_digest(reader, header, torch.device(device))
    if isinstance(header, VideoHeader):
        return _video_digest(reader, header, torch.device(device))
    decoder = load_image_decoder(header, torch.device(device))
    tiling = Tiling(header.height, header.width, header.tile)
    digest = hashlib.sha256()
    for segment in reader.segments():
        if segment.plane == 0:
            window = tiling.window(segment.number)
            latents = decode_tile(decoder, segment, window.height, window.width, header.quality)
            digest.update(latents.astype("<i8").tobytes())
    return digest.hexdigest()


def _sound_digest(reader: Reader, header: AudioHeader, device: torch.device) -> str:
    decoder = load_audio_decoder(header, device)
    digest = hashlib.sha256()
    for segment in reader.segments():
        part = split_payload(segment, header)
        if part.data is not None:
            symbols = decode_symbols(decoder, part.data, segment.digest, header, part.frames)
            digest.update(symbols.astype("<i8").tobytes())
    return digest.hexdigest()


def _video_digest(reader: Reader, header: VideoHeader, device: torch.device) -> str:
    """Of frames alone: latents of first frames, of the others vectors, modes where there are any, and latents."""
    pictures, decoder = load_video_decoder(header, device)
    digest = hashlib.sha256()
    for segment in reader.segments():
        if segment.plane == FRAMES:
            group = unpack_group(segment, header)
            latents, first = read_picture(pictures, group.intra, *grid_of(header), group.intra_quality)
            digest.update(latents.astype("<i8").tobytes())
            for level in read_predicted(decoder, group, header, first, segment.digest):
                parts = [level.fields, level.latents] if group.runs is None else [level.fields, level.modes, level.latents]
                digest.update(b"".join(part.astype("<i8").tobytes() for part in parts))
    return digest.hexdigest()


def block_means(frame: Frame) -> np.ndarray:
    """Means of 8x8 blocks of luma, in 1/256 of a level, uint16."""
    h, w = (n // 8 * 8 for n in frame.y.shape)
    return np.round(frame.y[:h, :w].reshape(h // 8, 8, w // 8, 8).mean((1, 3)) * 256).astype(np.uint16)


def make_video(samples: Path, folder: Path) -> None:
    """The same for the clip; beside it the digests (JSON) and the block means of every frame (npy)."""
    data = vqc.encode(samples / "clip.mkv", quality=80, group=10)
    intra = Reader(io.BytesIO(data)).header.intra
    stem = folder / f"v{vqc.inspect(data).version}-{vqc.inspect(data).model}-{intra}-clip"
    if stem.with_suffix(".vqc").exists():
        print(f"{stem.name}: is there already, left alone")
        return
    stem.with_suffix(".vqc").write_bytes(data)
    frames = list(vqc.decode(data))
    record = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "symbols_sha256": symbols_digest(data),
        "ticks": [frame.tick for frame in frames],
    }
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    np.save(stem.with_suffix(".npy"), np.stack([block_means(frame) for frame in frames]))
    print(f"{stem.name}: {len(data)} bytes")


def make_sounds(samples: Path, folder: Path) -> None:
    """The same for sound; beside each file its digests (JSON) and a second of its samples (npy, int16)."""
    for model, name, quality in ((m, n, q) for m, found in SOUND_QUALITY.items() for n, q in found.items()):
        data = vqc.encode(samples / f"{name}.flac", quality=quality, model=model)
        stem = folder / f"v{vqc.inspect(data).version}-{model}-{name}"
        if stem.with_suffix(".vqc").exists():
            print(f"{stem.name}: is there already, left alone")
            continue
        stem.with_suffix(".vqc").write_bytes(data)
        sound = vqc.decode(data)
        record = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "symbols_sha256": symbols_digest(data),
            "shape": list(sound.samples.shape),
            "rate": sound.rate,
        }
        stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        second = sound.samples[sound.rate // 2 : sound.rate + sound.rate // 2]
        np.save(stem.with_suffix(".npy"), np.rint(second.clip(-1, 1) * 32767).astype(np.int16))
        print(f"{stem.name}: {len(data)} bytes")


def make(samples: Path, folder: Path) -> None:
    """Encodes three samples and writes, beside each file, what it decodes to: digests (JSON) and means of 8x8 blocks (npy)."""
    for name, quality in QUALITY.items():
        data = vqc.encode(samples / f"{name}.png", quality=quality)
        info = vqc.inspect(data)
        stem = folder / f"v{info.version}-{info.model}-{name}"
        if stem.with_suffix(".vqc").exists():
            print(f"{stem.name}: is there already, left alone")
            continue
        stem.with_suffix(".vqc").write_bytes(data)
        pixels = vqc.decode(data).pixels
        h, w = (n // 8 * 8 for n in pixels.shape[:2])
        means = pixels[:h, :w].reshape(h // 8, 8, w // 8, 8, -1).mean((1, 3))
        peak = np.iinfo(pixels.dtype).max
        record = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "symbols_sha256": symbols_digest(data),
            "shape": list(pixels.shape),
            "dtype": str(pixels.dtype),
        }
        stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        np.save(stem.with_suffix(".npy"), np.round(means / peak * 65535).astype(np.uint16))
        print(f"{stem.name}: {len(data)} bytes")


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
    make_sounds(Path(sys.argv[1]), Path(sys.argv[2]))
    make_video(Path(sys.argv[1]), Path(sys.argv[2]))
