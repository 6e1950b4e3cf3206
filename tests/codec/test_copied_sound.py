"""Sound that is copied: packets come back as they were and in step, whole, in part and from damaged files."""

import dataclasses
import io
import json
import warnings
import zlib
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vqc
from vqc.bitstream import (
    CopiedSound,
    Corrupt,
    Reader,
    Segment,
    UnsupportedVersion,
    VideoHeader,
    VqcError,
    header,
    unpack_header,
)
from vqc.copied_payload import MAX_TICK, SoundPacket, first_tick, pack_run, unpack_run
from vqc.copied_sound import PacketReader, runs
from vqc.image_files import UnreadableInput
from vqc.matroska import describe, opened
from vqc.models import weights
from vqc.video_api import SoundTrack, format_of
from vqc.video_files import open_video

CLIP = Path(__file__).parents[2] / "samples" / "clip.mkv"
RATE, SECONDS, FRAMES = 48000, 3, 5  # of a second
NOISE = 0.01  # that decoders of AAC put in place of noise, another one when they begin elsewhere


def make(container, codec, layout="stereo"):
    """A clip of 32x32 pixels with a chirp for its sound."""
    file = io.BytesIO()
    t = np.arange(RATE * SECONDS, dtype=np.float64) / RATE
    tone = (0.4 * np.sin(2 * np.pi * (300 + 100 * t) * t)).astype(np.float32)
    channels = len(av.AudioLayout(layout).channels)
    sound = np.stack([np.roll(tone, 1000 * k) for k in range(channels)])
    with av.open(file, "w", format=container) as output:
        frames = output.add_stream("mpeg4", rate=FRAMES, width=32, height=32, pix_fmt="yuv420p")
        samples = output.add_stream(codec, rate=RATE, layout=layout, options={"strict": "experimental"})
        for k in range(FRAMES * SECONDS):
            picture = av.VideoFrame.from_ndarray(np.full((48, 32), 100 + 5 * k, np.uint8), format="yuv420p")
            picture.pts, picture.time_base = k, Fraction(1, FRAMES)
            output.mux(frames.encode(picture))
            step = RATE // FRAMES
            part = np.ascontiguousarray(sound[:, k * step : (k + 1) * step])
            block = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            block.sample_rate, block.pts, block.time_base = RATE, k * step, Fraction(1, RATE)
            output.mux(samples.encode(block))
        output.mux(frames.encode(None))
        output.mux(samples.encode(None))
    return file.getvalue()


def packets_of(source):
    with av.open(str(source) if isinstance(source, Path) else io.BytesIO(source)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def decoded(source):
    """Samples (N, C) float32, and the seconds of frames."""
    with open_video(source) as video:
        sound = np.concatenate(list(video.blocks()), axis=1).T
    with open_video(source) as video:
        return sound, [frame.seconds for frame in video.frames()]


def together(data, **part):
    with vqc.open_video_stream(data, **part) as stream:
        return list(stream.packets()), stream.kind.track


@pytest.fixture(scope="module")
def aac():
    """A clip with AAC in MP4, whose first packet only primes the decoder."""
    return make("mp4", "aac")


@pytest.fixture(scope="module")
def copied(aac):
    """The same, its sound copied."""
    return vqc.encode(aac, quality=10, group=5, audio="copy")


@pytest.mark.parametrize(
    ("container", "codec", "name"),
    [
        ("mp4", "aac", "aac"),
        ("matroska", "aac", "aac"),
        ("mp4", "libopus", "opus"),
        ("matroska", "libopus", "opus"),
        ("matroska", "vorbis", "vorbis"),
        ("matroska", "libmp3lame", "mp3"),
        ("avi", "libmp3lame", "mp3"),
        ("matroska", "flac", "flac"),
        ("mov", "pcm_s16be", "pcm_s16be"),
        ("matroska", "ac3", "ac3"),
    ],
)
def test_packets_come_back_as_they_were(container, codec, name):
    source = make(container, codec)
    data = vqc.encode(source, quality=0, audio="copy")
    packets, track = together(data)
    assert [packet.data for packet in packets] == packets_of(source) and track.codec == name
    video = vqc.decode(data)
    expected, seconds = decoded(source)
    sound = video.sound().samples
    assert [frame.seconds for frame in video] == seconds and abs(len(sound) - len(expected)) < 0.05 * RATE
    # ticks of a millisecond, which Matroska has, move it by half a one at most
    middle = slice(RATE, 2 * RATE)
    shifts = sorted(range(-48, 49), key=abs)
    assert any(np.array_equal(np.roll(sound, shift, axis=0)[middle], expected[middle]) for shift in shifts)
    assert vqc.verify(data).ok


def test_the_sample_with_its_sound_copied():
    data = vqc.encode(CLIP, quality=0, group=8, audio="copy")
    packets, _ = together(data)
    assert [packet.data for packet in packets] == packets_of(CLIP)
    assert np.array_equal(vqc.decode(data).sound().samples, decoded(CLIP)[0])


def test_more_than_two_channels_are_copied_and_mixed_when_decoded():
    source = make("matroska", "flac", "5.1")
    data = vqc.encode(source, quality=0, audio="copy")
    assert vqc.inspect(data).sound.channels == 6
    assert np.abs(vqc.decode(data).sound().samples - decoded(source)[0]).max() < 1e-4


@pytest.mark.parametrize("extension", ["mkv", "mp4", "mov", "avi"])
def test_containers_take_the_packets_in_step(vqc, tmp_path, copied, aac, extension):
    source, target = tmp_path / "clip.vqc", tmp_path / f"clip.{extension}"
    source.write_bytes(copied)
    code, _, err = vqc("decode", source, target)
    assert code == 0 and "coded anew" not in err, err
    original = packets_of(aac)
    assert packets_of(target) == (original[1:] if extension == "avi" else original)  # it has no time before 0
    sound, seconds = decoded(target)
    expected, original_seconds = decoded(aac)
    assert seconds == pytest.approx(original_seconds, abs=1e-3)
    middle = slice(RATE, 2 * RATE)
    assert np.abs(sound[middle] - expected[middle]).max() < NOISE


@pytest.mark.parametrize(("codec", "extension"), [("libopus", "avi"), ("libopus", "mov"), ("flac", "mov")])
def test_a_container_without_a_place_for_the_codec_gets_it_coded_anew(vqc, tmp_path, codec, extension):
    original = make("matroska", codec)
    (tmp_path / "clip.mkv").write_bytes(original)
    assert vqc("encode", tmp_path / "clip.mkv", "-q", 0, "--audio", "copy")[0] == 0
    target = tmp_path / f"clip.{extension}"
    code, _, err = vqc("decode", tmp_path / "clip.vqc", target)
    assert code == 0 and "coded anew" in err
    sound, expected = decoded(target)[0], decoded(original)[0]
    middle = slice(RATE, 2 * RATE)
    errors = [np.abs(np.roll(sound, shift, axis=0)[middle] - expected[middle]).max() for shift in range(-48, 49)]
    assert min(errors) < 0.05


def test_a_part_has_the_packets_that_begin_in_it(copied):
    whole, track = together(copied)
    for start, duration in ((0, 0.5), (1.3, 0.4), (2.5, None), (2.9, 5)):
        end = np.inf if duration is None else start + duration
        expected = [p for p in whole if start <= p.tick * track.base < end or (start == 0 and p.tick < 0)]
        for source in (copied, Pipe(copied)):
            assert [(p.tick, p.data) for p in together(source, start=start, duration=duration)[0]] == [
                (p.tick, p.data) for p in expected
            ]
    sound = vqc.decode(copied).sound().samples
    part = vqc.decode(copied, start=1.3, duration=0.4).sound().samples
    assert part.shape == (round(0.4 * RATE), 2)
    assert np.abs(part - sound[round(1.3 * RATE) : round(1.7 * RATE)]).max() < NOISE


class Pipe(io.RawIOBase):
    """Bytes that can be read once."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size=-1):
        return self._file.read(size)

    def seekable(self):
        return False


def test_only_the_runs_of_a_part_are_read(copied):
    numbers = []

    class Noting(Reader):
        def segment(self, number, plane=0):
            numbers.append((number, plane))
            return super().segment(number, plane)

    reader = Noting(io.BytesIO(copied))
    kind = format_of(reader.header, reader)
    source = SoundTrack(reader.header.sound, reader, None)
    packets = list(PacketReader(source, kind.sound, kind.track, False, 2.5).packets())
    assert packets and (0, 1) not in numbers


def test_a_part_is_written_in_step(vqc, tmp_path, copied):
    (tmp_path / "clip.vqc").write_bytes(copied)
    code, _, err = vqc("decode", tmp_path / "clip.vqc", tmp_path / "part.mkv", "--start", 1.3, "--frames", 4)
    assert code == 0, err
    with av.open(str(tmp_path / "part.mkv")) as container:
        times = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.size]
    assert times == pytest.approx([0, 0.2, 0.4, 0.6])
    with av.open(str(tmp_path / "part.mkv")) as container:
        sound = [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio=0) if p.size]
    whole, track = together(copied)
    begins = {p.data: float(p.tick * track.base) for p in whole}  # the first frame of the part is that at 1.4 s
    assert 0.7 < len(sound) * 1024 / RATE < 0.9
    delay = begins[sound[0][1]] - 1.4 - sound[0][0]
    assert 0 <= delay <= 1024 / RATE + 1e-3
    assert all(begins[data] - 1.4 - seconds == pytest.approx(delay, abs=1e-3) for seconds, data in sound)


def damaged_at(data, plane, number):
    entry = next(e for e in Reader(io.BytesIO(data)).index() if (e.plane, e.number) == (plane, number))
    changed = bytearray(data)
    changed[entry.offset + entry.size // 2] ^= 1
    return bytes(changed)


def test_a_lost_run_costs_its_packets_alone(copied):
    damaged = damaged_at(copied, 1, 1)
    with pytest.raises(Corrupt):
        vqc.decode(damaged).sound()
    whole, track = together(copied)
    with vqc.open_video_stream(damaged, allow_partial=True) as stream:
        packets = list(stream.packets())
        assert any("run 1 of the sound is missing" in d.message for d in stream.damage)
    lost = [p for p in whole if p.data not in {q.data for q in packets}]
    assert 0.8 < float((lost[-1].tick - lost[0].tick) * track.base) < 1.2
    video = vqc.decode(damaged, allow_partial=True)
    assert len(list(video)) == FRAMES * SECONDS
    sound, expected = video.sound(), vqc.decode(copied).sound()
    assert sound.damage and sound.samples.shape == expected.samples.shape
    assert not sound.samples[round(1.2 * RATE) : round(1.8 * RATE)].any()
    assert np.abs(sound.samples[round(2.2 * RATE) :] - expected.samples[round(2.2 * RATE) :]).max() < NOISE
    assert not vqc.verify(damaged).ok


def test_a_lost_description_costs_the_sound_alone(copied):
    changed = bytearray(copied)
    changed[copied.index(b"A_AAC")] ^= 1
    with pytest.raises(Corrupt):
        vqc.decode(bytes(changed))
    video = vqc.decode(bytes(changed), allow_partial=True)
    assert len(list(video)) == FRAMES * SECONDS and video.damage
    sound = video.sound()
    assert sound.samples.shape == (0, 2) and sound.damage


@pytest.mark.parametrize("cut", [0.4, 0.8, 0.999])
def test_a_file_that_was_cut_fails_clearly_or_gives_what_is_whole(copied, cut):
    short = copied[: int(len(copied) * cut)]
    with pytest.raises(VqcError):
        vqc.decode(short).sound()
    sound = vqc.decode(short, allow_partial=True).sound()
    assert sound.damage and len(sound.samples) <= SECONDS * RATE


def test_versions(monkeypatch, copied, aac):
    assert vqc.inspect(copied).version == 2
    assert vqc.inspect(vqc.encode(aac, quality=0, audio="none")).version == 1
    coded = vqc.encode(aac, quality=0)
    assert coded[8:10] == b"\1\1" and vqc.inspect(coded).sound.model == weights.AUDIO_MODEL
    monkeypatch.setattr(header, "VERSION", 1)
    with pytest.raises(UnsupportedVersion, match="needs a reader of format version 2; this one reads up to version 1"):
        vqc.inspect(copied)
    assert vqc.inspect(coded).version == 1


def test_without_the_sound_codec_the_track_is_copied(monkeypatch, aac, copied):
    def missing(model):
        raise weights.ModelNotFound(f"model '{model}' is not installed")

    monkeypatch.setattr(weights, "encoder_path", missing)
    with pytest.warns(UserWarning, match=r"model 'aud2' is not installed: the sound track \(aac\) is copied"):
        data = vqc.encode(aac, quality=10, group=5)
    assert data == copied
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert vqc.inspect(vqc.encode(aac, quality=10, sound=False)).sound is None


def test_choices(aac):
    with pytest.raises(ValueError, match="audio 'keep' is none of code, copy, none"):
        vqc.encode(aac, audio="keep")
    with pytest.raises(ValueError, match="sound_quality is for sound that is coded"):
        vqc.encode(aac, audio="copy", sound_quality=50)
    with pytest.raises(UnreadableInput, match="adpcm_ms, cannot be copied"):
        vqc.encode(make("avi", "adpcm_ms"), audio="copy")


def test_command_line(vqc, tmp_path, aac):
    (tmp_path / "clip.mp4").write_bytes(aac)
    code, _, err = vqc("encode", tmp_path / "clip.mp4", "-q", 0, "--audio", "copy")
    assert code == 0, err
    code, out, _ = vqc("info", tmp_path / "clip.vqc")
    assert code == 0 and "sound:" in out and "aac, copied, 48000 Hz, 2 channels" in out and "format version 2" in out
    told = json.loads(vqc("info", tmp_path / "clip.vqc", "--json")[1])
    assert told["sound"] == {"codec": "aac", "rate": 48000, "channels": 2}
    assert vqc("verify", tmp_path / "clip.vqc")[0] == 0
    code, _, err = vqc("decode", tmp_path / "clip.vqc", tmp_path / "clip.y4m")
    assert code == 0 and "no place for the sound" in err
    assert vqc("encode", tmp_path / "clip.mp4", "-f", "-q", 0, "--audio", "copy", "--no-sound")[0] == 2
    assert vqc("encode", tmp_path / "clip.mp4", "-f", "-q", 0, "--audio", "copy", "--sound-quality", 50)[0] == 2
    for arguments in (["--audio", "none"], ["--no-sound"]):
        assert vqc("encode", tmp_path / "clip.mp4", "-f", "-q", 0, *arguments)[0] == 0
        assert json.loads(vqc("info", tmp_path / "clip.vqc", "--json")[1])["sound"] is None


packets = st.lists(st.tuples(st.integers(1, 10**6), st.binary(min_size=1, max_size=20)), min_size=1, max_size=20)


@given(st.integers(-MAX_TICK, MAX_TICK - 10**9), packets, st.integers(0, 2**30))
def test_runs_come_back(first, parts, number):
    run = []
    for duration, data in parts:
        run.append(SoundPacket(first, duration, data))
        first += duration
    segment = Segment(number, 1, pack_run(run), 0)
    assert unpack_run(segment) == run and first_tick(segment) == run[0].tick


@given(st.binary(max_size=60))
def test_any_bytes_are_a_run_or_corrupt(payload):
    segment = Segment(0, 1, payload, 0)
    try:
        run = unpack_run(segment)
    except Corrupt:
        return
    assert pack_run(run) == payload and all(p.data and p.duration for p in run)


@pytest.mark.parametrize("payload", ["", "00", "000101", "00010000", "00000100", "000102aa", "ff" * 8 + "7f01" + "01aa"])
def test_runs_that_break_a_rule_are_corrupt(payload):
    with pytest.raises(Corrupt):
        unpack_run(Segment(0, 1, bytes.fromhex(payload), 0))
    with pytest.raises(Corrupt, match="digest"):
        unpack_run(Segment(0, 1, bytes.fromhex("000101aa"), 7))


@given(packets, st.integers(-5000, 5000))
def test_runs_hold_every_packet_and_a_second_each(parts, first):
    given_packets = []
    for duration, data in parts:
        given_packets.append(SoundPacket(first, duration, data))
        first += duration
    base = Fraction(1, 10**6)
    made = list(runs(given_packets, base))
    assert [s.number for s, _ in made] == list(range(len(made)))
    assert [p for s, _ in made for p in unpack_run(s)] == given_packets
    assert all(p[-1].tick - p[0].tick < 10**6 for p in (unpack_run(s) for s, _ in made))


def test_time_stamps_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="follows"):
        pack_run([SoundPacket(5, 1, b"a"), SoundPacket(5, 1, b"b")])


names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=16)


@given(names, st.integers(8000, 192000), st.integers(1, 255), st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
def test_headers_come_back(codec, rate, channels, numerator, denominator):
    sound = CopiedSound(codec, rate, channels, numerator, denominator)
    plain = VideoHeader("vid1", b"12345678", 1, "img1", b"abcdefgh", 352, 288, 1, 1000, 30000, 1001)
    head = dataclasses.replace(plain, sound=sound)
    assert unpack_header(head.pack()) == head and head.pack()[8:10] == b"\2\2" and plain.pack()[8:10] == b"\1\1"


def test_a_header_that_hides_what_it_needs_is_corrupt():
    sound = CopiedSound("aac", 48000, 2, 1, 48000)
    head = bytearray(VideoHeader("v", bytes(8), 1, "i", bytes(8), 16, 16, 1, 25, 25, 1, sound=sound).pack())
    head[9] = 1
    sealed = bytes(head[:-4]) + zlib.crc32(head[:-4]).to_bytes(4, "little")
    with pytest.raises(Corrupt, match="needs version 2, the file says 1"):
        unpack_header(sealed)


@given(st.binary(max_size=80))
def test_any_description_opens_or_is_corrupt(entry):
    with suppress(Corrupt):
        opened(entry).close()


def test_descriptions_take_no_other_elements(aac):
    with av.open(io.BytesIO(aac)) as container:
        entry = describe(container.streams.audio[0], 0)
    with opened(entry) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    for wrong in (entry + bytes.fromhex("6d8080"), entry[:-1], b"", bytes(2**20 + 1)):  # the first: ContentEncodings
        with pytest.raises(Corrupt):
            opened(wrong)
