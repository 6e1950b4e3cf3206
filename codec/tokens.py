"""Sound as discrete tokens, for those who train language models on it, and back: `encode`, `decode`, `Tokens`.

Tokens are the codes that a .vqc file of a vector quantised model holds, nothing more and nothing less: files become tokens and
tokens files without a loss, so that tokens decode to the very samples that the file decodes to.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, BinaryIO

import numpy as np
import torch

from vqc.bitstream import AudioHeader, Corrupt, Reader, Segment, Writer
from vqc.bitstream.varint import pack_varint
from vqc.models import weights
from vqc.models.audio_rvq import RvqDecoder
from vqc.models.residual_vq import usage

from . import api
from .audio_api import TAGS, DecodedSound, pack_tags, tags_of, unpack_tags
from .audio_decoding import load_audio_decoder
from .audio_encoding import SPAN
from .audio_payload import CODED_RATE, HOP, coded_length, split_payload
from .code_coding import decode_codes, encode_codes
from .inspection import open_reader
from .latent_coding import PROFILE
from .media import peek

FRAME_RATE = CODED_RATE / HOP  # frames a second
SILENT = -1  # the codes of a span all of whose samples are zero
MOST_CODES = 2**15  # of a codebook: codes are int16
MOST_BYTES = 2**28  # of all arrays of an archive: a day of sound
# What zipfile, zlib and numpy raise for bytes that are no archive of arrays.
_UNREADABLE = (
    ValueError, EOFError, KeyError, SyntaxError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
SIGNATURE = b"\x89VQC"


@dataclass(frozen=True)
class Tokens:
    """Codes of a sound, and all that has to be known to make it sound again.

    codes: int16 (frames, columns). Mono: a column for each stage of the quantiser, in order. Stereo: the stages of mid (half
    the sum of left and right), then those of side (half the difference). A code lies in 0 .. codebook_sizes[column] - 1, or is
    -1 throughout a silent span of `span` frames. codebook_sizes: int32 (columns,). frame_rate: frames a second.
    model, weights: the model that decodes them, and the hexadecimal prefix of the SHA-256 of its decoder.
    rate, samples, channels, depth, tags: of the sound. quality: that was asked for, 0 to 100; it tells the number of stages.
    """

    codes: np.ndarray
    codebook_sizes: np.ndarray
    frame_rate: float
    model: str
    weights: str
    rate: int
    samples: int
    channels: int
    depth: int
    quality: float
    span: int = SPAN
    tags: dict[str, str] = field(default_factory=dict)

    def save(self, file: str | BinaryIO) -> None:
        """Writes an .npz archive, compressed, with one array for each field; tags are the bytes that a file has."""
        np.savez_compressed(file, **asdict(self) | {TAGS: np.frombuffer(pack_tags(self.tags), np.uint8)})

    @classmethod
    def load(cls, file: str | BinaryIO) -> Tokens:
        """Reads an .npz archive as `save` writes it; never unpickles. Raises ValueError for anything else."""
        found = _arrays(file, [f.name for f in fields(cls) if f.name != TAGS], [TAGS])
        tags = found.pop(TAGS, np.empty(0, np.uint8))  # archives of before there were tags have none
        if tags.dtype != np.uint8:
            raise ValueError(f"not a file of tokens: '{TAGS}' is {tags.dtype} {tags.shape}")
        arrays = {name: found.pop(name) for name in ("codes", "codebook_sizes")}
        kinds = {"frame_rate": "fiu", "quality": "fiu", "model": "U", "weights": "U"}
        for name, value in found.items():
            if value.ndim != 0 or value.dtype.kind not in kinds.get(name, "iu"):
                raise ValueError(f"not a file of tokens: '{name}' is {value.dtype} {value.shape}")
        tokens = cls(**arrays, **{name: value.item() for name, value in found.items()}, tags=unpack_tags(tags.tobytes()))
        tokens.header()
        return tokens

    def header(self) -> AudioHeader:
        """The header of the .vqc file of these codes. Raises ValueError where fields or codes contradict each other."""
        if not (math.isfinite(self.quality) and math.isclose(self.frame_rate, FRAME_RATE)):
            raise ValueError(f"quality {self.quality}, {self.frame_rate} frames a second: tokens of vqc have {FRAME_RATE:g}")
        try:
            prefix = bytes.fromhex(self.weights)
            header = AudioHeader(
                model=self.model, weights=prefix, profile=PROFILE, rate=self.rate, samples=self.samples,
                channels=self.channels, depth=self.depth, quality=round(self.quality * 10), span=self.span,
            )  # fmt: skip
            header.pack()
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"false field in tokens: {error}") from None
        codes, sizes = self.codes, np.asarray(self.codebook_sizes)
        if codes.ndim != 2 or codes.dtype.kind not in "iu" or sizes.shape != codes.shape[1:] or sizes.dtype.kind not in "iu":
            raise ValueError(
                f"codes {codes.dtype} {codes.shape}, sizes {sizes.dtype} {sizes.shape}: integers (frames, columns), (columns,)"
            )
        frames = -(-coded_length(self.samples, self.rate) // HOP) + 1 if self.samples else 0
        if abs(len(codes) - frames) > 1:
            raise ValueError(f"{len(codes)} frames do not make {self.samples} samples at {self.rate} Hz")
        return header


def _arrays(file: str | BinaryIO, names: list[str], optional: list[str]) -> dict[str, np.ndarray]:
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError
        with archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise ValueError(f"not a file of tokens: no array '{missing[0]}'")
            if sum(entry.file_size for entry in archive.zip.infolist()) > MOST_BYTES:
                raise ValueError(f"a file of tokens of more than {MOST_BYTES} bytes")
            return {name: archive[name] for name in names + optional if name in archive.files}
    except _UNREADABLE as error:
        text = str(error) if "tokens" in str(error) else "not a file of tokens: no archive of arrays, or a damaged one"
        raise ValueError(text) from None


def encode(
    source: Any,
    *,
    quality: float = api.DEFAULT_QUALITY,
    bitrate: float | None = None,
    rate: int | None = None,
    model: str = weights.TOKEN_MODEL,
    device: str = "auto",
    threads: int | None = None,
) -> Tokens:
    """Tokens of a sound, or of a .vqc file that a vector quantised model made.

    source: path, binary file object, bytes, or with its `rate` in Hz an array (N,) or (N, C), as for vqc.encode. quality: 0 to
    100, from one stage to all. bitrate: kbit/s that the .vqc file of these tokens would have. Raises what vqc.encode and
    vqc.decode raise, ValueError for a file of another model.
    """
    prefix, source = (b"", source) if rate is not None else peek(source, len(SIGNATURE))
    if prefix == SIGNATURE:
        data = source
    else:
        wish = {"bitrate": bitrate} if bitrate is not None else {"quality": quality}
        if not weights.has_tokens(model):
            raise ValueError(f"model '{model}' has no tokens; '{weights.TOKEN_MODEL}' has")
        data = api.encode(source, **wish, rate=rate, model=model, device=device, threads=threads)
    with open_reader(data, None, False) as reader:
        return from_reader(reader, api._prepare(device, threads))


def from_reader(reader: Reader, device: torch.device) -> Tokens:
    """Tokens of an open .vqc file. Raises ValueError for another medium or model, and VqcError and its kinds."""
    header = reader.header
    if not isinstance(header, AudioHeader) or not weights.has_tokens(header.model):
        raise ValueError(f"a file of model '{header.model}' has no tokens: encode the sound with --model {weights.TOKEN_MODEL}")
    decoder: RvqDecoder = load_audio_decoder(header, device)  # type: ignore[assignment]
    columns = header.channels * decoder.stages(header.quality)
    parts, samples = [np.empty((0, columns), np.int16)], header.samples
    for number, segment in enumerate(reader.segments()):
        if segment.number != number:
            raise Corrupt(f"span {number} is missing")
        frames, end, data = split_payload(segment, header)
        samples = samples if end is None else end
        if data is None:
            parts.append(np.full((frames, columns), SILENT, np.int16))
            continue
        codes = decode_codes(decoder, data, segment.digest, header.channels, frames, header.quality)
        by_frame = codes.reshape(header.channels, frames, -1).swapaxes(0, 1).reshape(frames, columns)
        parts.append(by_frame.astype(np.int16))
    return Tokens(
        codes=np.concatenate(parts),
        codebook_sizes=np.full(columns, decoder.codes.size, np.int32),
        frame_rate=FRAME_RATE,
        model=header.model,
        weights=header.weights.hex(),
        rate=header.rate,
        samples=samples,
        channels=header.channels,
        depth=header.depth,
        quality=header.quality / 10,
        span=header.span,
        tags=tags_of(reader),
    )


def to_vqc(tokens: Tokens, *, device: str = "auto", threads: int | None = None) -> bytes:
    """The .vqc file of these tokens. Raises ValueError for codes that are none, UnsupportedModel."""
    header = tokens.header()
    torch_device = api._prepare(device, threads)
    if not weights.has_tokens(header.model):
        raise ValueError(f"model '{header.model}' has no tokens; '{weights.TOKEN_MODEL}' has")
    decoder: RvqDecoder = load_audio_decoder(header, torch_device)  # type: ignore[assignment]
    stages, size = decoder.stages(header.quality), decoder.codes.size
    codes = tokens.codes
    if codes.shape[1] != stages * header.channels or (np.asarray(tokens.codebook_sizes) != size).any():
        raise ValueError(
            f"quality {tokens.quality:g} of model '{header.model}' takes {stages} codes of {size} a channel, "
            f"not {codes.shape[1]} columns for {header.channels} channels"
        )
    if codes.size and (codes.min() < SILENT or codes.max() >= size):
        raise ValueError(f"codes from {codes.min()} to {codes.max()}: they lie in 0 .. {size - 1}")
    file = io.BytesIO()
    writer = Writer(file, header)
    if tokens.tags:
        writer.metadata(TAGS, pack_tags(tokens.tags))
    count = max(1, -(-len(codes) // header.span))
    for number in range(count):
        part = codes[number * header.span : (number + 1) * header.span]
        last = number == count - 1
        silent = not (part != SILENT).any()
        if not silent and (part == SILENT).any():
            raise ValueError(f"span {number} of {header.span} frames is silent (-1) in part: a silent span is so throughout")
        head = pack_varint(2 * len(part) + silent) + pack_varint(tokens.samples + 1 if last else 0)
        payload, digest = (b"", 0) if silent else _coded(decoder, part, header)
        writer.segment(Segment(number, 0, head + payload, digest))
    writer.close()
    return file.getvalue()


def _coded(decoder: RvqDecoder, part: np.ndarray, header: AudioHeader) -> tuple[bytes, int]:
    by_position = part.reshape(len(part), header.channels, -1).swapaxes(0, 1).reshape(header.channels * len(part), -1)
    codes = by_position.astype(np.int32)
    return encode_codes(
        decoder, lambda step: codes[step.positions, step.stage], header.channels, len(part), header.quality
    )


def codes_used(sounds: Iterable[Tokens]) -> list[tuple[float, float]]:
    """For every stage, over all `sounds` and both channels: part of its codes that occur, their perplexity over their number.

    A sound of few frames cannot hold many codes; to judge a codebook takes minutes. Raises ValueError where models differ, and
    for codes that are none.
    """
    counts = np.zeros((0, 0), np.int64)
    models = set()
    for sound in sounds:
        models.add((sound.model, int(np.max(sound.codebook_sizes, initial=1))))
        if len(models) > 1:
            raise ValueError(f"tokens of different models: {', '.join(sorted(name for name, _ in models))}")
        (_, size), stages = next(iter(models)), sound.codes.shape[1] // sound.channels
        if sound.codes.size and not (sound.codes.min() >= SILENT and sound.codes.max() < size <= MOST_CODES):
            raise ValueError(f"codes from {sound.codes.min()} to {sound.codes.max()}: they lie in 0 .. {size - 1}")
        counts = np.pad(counts, ((0, max(0, stages - len(counts))), (0, size - counts.shape[1])))
        for column, codes in enumerate(sound.codes.T):
            counts[column % stages] += np.bincount(codes[codes >= 0], minlength=size)
    return [usage(torch.from_numpy(row)) for row in counts if row.any()]


def decode(tokens: Tokens, *, device: str = "auto", threads: int | None = None) -> DecodedSound:
    """The sound of tokens: the same samples as of the file that they were taken from. Raises as `to_vqc` does."""
    return api.decode(to_vqc(tokens, device=device, threads=threads), device=device, threads=threads)
