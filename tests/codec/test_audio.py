"""Sound through the codec: what goes in comes out, in whole or in part, from files and pipes, and damage costs one span."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

import vqc
from vqc.audio_decoding import SpanDecoder
from vqc.audio_encoding import SpanEncoder, header_for
from vqc.bitstream import Corrupt, Reader, Segment, Truncated, UnsupportedModel, Writer
from vqc.models.weights import AUDIO_MODEL, TOKEN_MODEL, fingerprint
from vqc.rate_search import TargetOutOfRange
from vqc.sound import Resampler, SoundFormat
from vqc.sound_files import open_sound

SAMPLES = Path(__file__).parents[2] / "samples"
CPU = torch.device("cpu")


def noise(seconds, rate=48000, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(rng.normal(0, 0.02, (round(seconds * rate), channels)), axis=0)
    return (smooth - np.linspace(smooth[0], smooth[-1], len(smooth))).clip(-0.9, 0.9).astype(np.float32)


@pytest.fixture(scope="module", params=[AUDIO_MODEL, TOKEN_MODEL])
def tune(request):
    """The stereo sample as bytes of a .vqc file of either route: several short spans."""
    samples, rate = soundfile.read(SAMPLES / "tune.flac", dtype="float32", always_2d=True)
    header = header_for(SoundFormat(rate, 2, 16, len(samples)), 400, request.param, frames=32)
    file = io.BytesIO()
    writer = Writer(file, header)
    for segment in SpanEncoder(header, CPU).segments([samples.T]):
        writer.segment(segment)
    writer.close()
    return file.getvalue()


@pytest.mark.parametrize("length", [0, 1, 2, 959, 960, 961, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_length_and_channels_come_back(length, channels):
    samples = noise(1, channels=channels)[:length]
    decoded = vqc.decode(vqc.encode(samples, rate=48000, quality=20))
    assert decoded.samples.shape == (length, channels) and decoded.rate == 48000
    assert np.isfinite(decoded.samples).all()


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000, 192000])
def test_rate_and_exact_length_come_back_in_step(rate):
    t = np.arange(rate + 77) / rate
    samples = (0.3 * np.sin(2 * np.pi * 440 * t) * (1 + 0.5 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)
    decoded = vqc.decode(vqc.encode(samples, rate=rate, quality=90))
    assert decoded.samples.shape == (len(samples), 1) and decoded.rate == rate
    middle = slice(rate // 4, rate // 2)
    products = [samples[middle] @ np.roll(decoded.samples[:, 0], -k)[middle] for k in (-2, -1, 0, 1, 2)]
    assert np.argmax(products) == 2


def test_the_codec_keeps_the_sample():
    samples, _ = soundfile.read(SAMPLES / "talk.flac", dtype="float32")
    errors, sizes = [], []
    for quality in (10, 50, 100):
        data = vqc.encode(SAMPLES / "talk.flac", quality=quality)
        decoded = vqc.decode(data).samples[:, 0]
        errors.append(np.mean((decoded - samples) ** 2) / np.mean(samples**2))
        sizes.append(len(data))
    assert sizes == sorted(sizes) and sizes[0] * 5 < sizes[2]
    assert errors[2] < errors[0] and errors[2] < 0.5


def test_any_part_decodes_to_what_the_whole_does(tune):
    whole = vqc.decode(tune)
    for start, duration in ((0, 0.5), (0.4, 0.7), (1.3, 0.01), (2.2, None), (2.9, 5)):
        part = vqc.decode(tune, start=start, duration=duration).samples
        first = round(start * whole.rate)
        expected = whole.samples[first : None if duration is None else first + round(duration * whole.rate)]
        assert part.shape == expected.shape
        assert np.abs(part - expected).max() < 1e-5


def test_a_part_reads_only_the_spans_it_needs(tune):
    reader = Reader(io.BytesIO(tune))
    read = []
    original = reader.segment
    reader.segment = lambda number, plane=0: read.append(number) or original(number, plane)
    list(SpanDecoder(reader, CPU, False, start=round(2.2 * 44100), stop=round(2.3 * 44100)).blocks())
    assert read and min(read) > 0


def test_blocks_of_any_size_make_the_same_file():
    samples = noise(2.9, channels=2).T
    header = header_for(SoundFormat(48000, 2), 300, frames=32)
    files = []
    for block in (1000, 50000, samples.shape[1]):
        blocks = np.split(samples, range(block, samples.shape[1], block), axis=1)
        segments = list(SpanEncoder(header, CPU).segments(blocks))
        files.append([(s.number, s.digest, s.payload) for s in segments])
    assert files[0] == files[1] == files[2]


def test_segments_come_while_the_sound_goes_on():
    encoder = SpanEncoder(header_for(SoundFormat(48000, 1), 300, frames=32), CPU)
    taken = 0

    def blocks():
        nonlocal taken
        for _ in range(300):
            taken += 1
            yield np.zeros((1, 4800), np.float32)

    next(iter(encoder.segments(blocks())))
    assert taken * 4800 <= (32 + 12 + 5) * 960, "the delay is a span and its halo"


@pytest.mark.parametrize("model", [AUDIO_MODEL, TOKEN_MODEL])
def test_a_model_is_chosen_by_name(model):
    data = vqc.encode(SAMPLES / "talk.flac", quality=30, model=model)
    assert vqc.inspect(data).model == model and vqc.verify(data).ok
    assert vqc.decode(data).samples.shape == (3 * 24000, 1)


def test_a_file_that_names_the_model_of_another_medium_is_unsupported():
    header = dataclasses.replace(header_for(SoundFormat(48000, 1, 16, 10), 500), model="img1", weights=fingerprint("img1"))
    file = io.BytesIO()
    Writer(file, header).close()
    with pytest.raises(UnsupportedModel, match="img1"):
        vqc.decode(file.getvalue())


def test_a_bit_rate_between_two_numbers_of_stages_is_met():
    data = vqc.encode(SAMPLES / "talk.flac", bitrate=2, model=TOKEN_MODEL)
    assert abs(len(data) * 8 / 3 / 2000 - 1) < 0.02


def test_a_bit_rate_that_the_usual_model_does_not_reach_is_met_by_vectors_unless_a_model_is_named():
    data = vqc.encode(SAMPLES / "talk.flac", bitrate=1)
    assert vqc.inspect(data).model == TOKEN_MODEL and abs(len(data) * 8 / 3 / 1000 - 1) < 0.02
    with pytest.raises(TargetOutOfRange):
        vqc.encode(SAMPLES / "talk.flac", bitrate=1, model=AUDIO_MODEL)
    with pytest.raises(TargetOutOfRange):
        vqc.encode(SAMPLES / "talk.flac", bitrate=500)


def test_silence_costs_next_to_nothing():
    sound = np.zeros(20 * 48000, np.float32)
    sound[:48000] = noise(1)[:, 0]
    sizes = [len(vqc.encode(sound[: seconds * 48000], rate=48000, quality=50)) for seconds in (5, 20)]
    assert (sizes[1] - sizes[0]) * 8 / 15 < 100
    decoded = vqc.decode(vqc.encode(sound, rate=48000, quality=50)).samples
    assert np.abs(decoded[5 * 48000 :]).max() < 2**-17 and np.abs(decoded[:48000]).max() > 0.01


def test_bitrate_is_met_by_the_whole_file():
    data = vqc.encode(SAMPLES / "tune.flac", bitrate=12)
    assert abs(len(data) * 8 / 3 / 12000 - 1) < 0.02
    assert abs(vqc.inspect(data).kbps - 12) < 0.24
    with pytest.raises(TargetOutOfRange):
        vqc.encode(SAMPLES / "tune.flac", bitrate=2000)


def test_info_and_tags():
    data = vqc.encode(SAMPLES / "tune.flac", quality=30)
    info = vqc.inspect(data)
    assert (info.media, info.rate, info.channels, info.depth, info.samples) == ("audio", 44100, 2, 16, 3 * 44100)
    assert vqc.decode(data).tags == {"title": "eight notes"}
    assert vqc.decode(vqc.encode(SAMPLES / "tune.flac", quality=30, strip=True)).tags == {}


def test_a_sound_of_unknown_length_tells_it_at_its_end(tmp_path):
    class Pipe(io.RawIOBase):
        def __init__(self, data):
            self.file = io.BytesIO(data)

        def readable(self):
            return True

        def readinto(self, buffer):
            data = self.file.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)

    coded = vqc.encode(Pipe((SAMPLES / "talk.flac").read_bytes()), quality=30)
    assert Reader(io.BytesIO(coded)).header.samples == 0
    assert vqc.inspect(coded).samples == 3 * 24000
    assert vqc.decode(Pipe(coded)).samples.shape == (3 * 24000, 1)


@pytest.mark.parametrize(
    ("codec", "name"), [("aac", "x.m4a"), ("libmp3lame", "x.mp3"), ("libopus", "x.ogg"), ("alac", "y.m4a")]
)
def test_formats_of_ffmpeg_are_read(tmp_path, codec, name):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(noise(0.5, channels=2).T.copy(), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        resampler = av.AudioResampler(format=stream.format, layout="stereo", rate=48000, frame_size=stream.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    with open_sound(path) as (kind, blocks):
        length = sum(block.shape[1] for block in blocks)
    assert kind.channels == 2 and 23000 < length < 28000
    assert vqc.inspect(vqc.encode(path, quality=10)).media == "audio"


@pytest.mark.parametrize(("subtype", "depth"), [("PCM_16", 16), ("PCM_24", 24), ("FLOAT", 32)])
def test_depth_of_the_original_is_that_of_the_copy(tmp_path, vqc, subtype, depth):
    source, back = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(source, noise(0.2), 48000, subtype)
    assert vqc("encode", source, "--quiet")[0] == 0
    assert vqc("decode", tmp_path / "a.vqc", back, "--quiet")[0] == 0
    assert soundfile.info(back).subtype == subtype


def test_command_line(tmp_path, vqc):
    shutil.copy(SAMPLES / "talk.flac", tmp_path)
    code, out, err = vqc("encode", tmp_path / "talk.flac", "--bitrate", 6, "--json")
    record = json.loads(out)
    assert (code, err) == (0, "") and abs(record["kbps"] - 6) < 0.12 and record["duration"] == 3
    assert vqc("info", tmp_path / "talk.vqc")[0] == 0
    assert json.loads(vqc("info", tmp_path / "talk.vqc", "--json")[1])["samples"] == 72000
    assert vqc("verify", tmp_path / "talk.vqc", "--quiet") == (0, "", "")
    assert vqc("decode", tmp_path / "talk.vqc", "--quiet") == (0, "", "")
    assert soundfile.info(tmp_path / "talk.wav").frames == 72000
    assert vqc("decode", tmp_path / "talk.vqc", tmp_path / "part.flac", "--start", 1, "--duration", 0.5)[0] == 0
    assert soundfile.info(tmp_path / "part.flac").frames == 12000
    code, out, _ = vqc("roundtrip", tmp_path / "talk.flac", "-q", 20, "--json")
    assert code == 0 and json.loads(out)["bytes"] > 0


def test_pictures_and_sounds_are_not_mixed_up(tmp_path, vqc, encoded):
    coded = tmp_path / "talk.vqc"
    assert vqc("encode", SAMPLES / "talk.flac", coded, "--quiet")[0] == 0
    for arguments, message in (
        (("decode", coded, tmp_path / "x.png"), "this is a sound"),
        (("decode", encoded, tmp_path / "x.wav"), "this is a picture"),
        (("decode", coded, tmp_path / "x.wav", "--region", "0,0,1,1"), "for pictures"),
        (("decode", encoded, tmp_path / "x.png", "--start", 1), "for sound"),
        (("decode", coded, tmp_path / "x.wav", "--start", 100), "beyond the end"),
        (("encode", SAMPLES / "talk.flac", tmp_path / "y.vqc", "--bpp", 1), "for pictures"),
        (("encode", SAMPLES / "photo.png", tmp_path / "y.vqc", "--bitrate", 6), "for sound"),
    ):
        code, _, err = vqc(*arguments)
        assert code == 1 and message in err and err.count("\n") == 1, err
    assert not list(tmp_path.glob("x.*")) and not (tmp_path / "y.vqc").exists()


@pytest.mark.parametrize("content", [b"RIFF\0\0\0\0WAVEjunk", b"fLaC", b"OggS" + bytes(50), b"ID3" + bytes(30)])
def test_damaged_sound_files_are_one_clear_line(tmp_path, vqc, content):
    (tmp_path / "bad.wav").write_bytes(content)
    code, _, err = vqc("encode", tmp_path / "bad.wav")
    assert code == 1 and err.count("\n") == 1 and "internal error" not in err
    assert not (tmp_path / "bad.vqc").exists()


def test_more_than_two_channels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="3 channels"):
        vqc.encode(noise(0.1, channels=3), rate=48000)
    with pytest.raises(ValueError, match="finite"):
        vqc.encode(np.full(100, np.nan, np.float32), rate=48000)


def test_a_damaged_span_is_concealed_and_told(tune):
    reader = Reader(io.BytesIO(tune))
    entry = reader.index()[2]
    damaged = bytearray(tune)
    damaged[entry.offset + entry.size // 2] ^= 4
    with pytest.raises(Corrupt):
        vqc.decode(bytes(damaged))
    whole, decoded = vqc.decode(tune), vqc.decode(bytes(damaged), allow_partial=True)
    assert decoded.samples.shape == whole.samples.shape and decoded.damage
    span = 32 * 882
    assert np.array_equal(decoded.samples[: span - 12 * 882], whole.samples[: span - 12 * 882])
    assert np.abs(decoded.samples[4 * span + 14 * 882 :] - whole.samples[4 * span + 14 * 882 :]).max() < 1e-5
    assert np.isfinite(decoded.samples).all() and np.abs(decoded.samples).max() < 4
    assert not vqc_verify(bytes(damaged)).ok and vqc_verify(tune).ok


vqc_verify = vqc.verify


def test_truncation_anywhere_is_found(tune):
    for end in range(0, len(tune), 97):
        with pytest.raises((Corrupt, Truncated, vqc.bitstream.NotVqc)):
            vqc.decode(tune[:end])


def test_every_flipped_byte_is_found(tune):
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(tune), 40):
        damaged = bytearray(tune)
        damaged[place] ^= 1 << rng.integers(8)
        with pytest.raises(vqc.bitstream.VqcError):
            vqc.decode(bytes(damaged))


@pytest.mark.parametrize("head", [b"", b"\x42\x00", b"\x0a\x00", b"\x40\x02", b"\x00\x02", b"\x41\x00"])
def test_false_span_heads_are_corrupt(tune, head):
    reader = Reader(io.BytesIO(tune))
    file = io.BytesIO()
    writer = Writer(file, reader.header)
    for segment in reader.segments():
        payload = head + segment.payload[2:] if segment.number == 1 else segment.payload
        writer.segment(Segment(segment.number, 0, payload, segment.digest))
    writer.close()
    with pytest.raises(Corrupt, match="span 1"):
        vqc.decode(file.getvalue())


def test_resampling_back_and_forth_is_in_step():
    x = np.sin(np.arange(44100) / 20).astype(np.float32)[None]
    up, down = Resampler(1, 44100, 48000), Resampler(1, 48000, 44100)
    middle = np.concatenate([up(x), up.finish(1)], axis=1)
    back = np.concatenate([down(middle), down.finish(1)], axis=1)[:, :44100]
    assert np.abs(back[:, 200:-200] - x[:, 200:-200]).max() < 2e-3
