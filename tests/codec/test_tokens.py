"""Tokens: files and tokens turn into one another without a loss, and what is no tokens is refused in one line."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vqc
from vqc import tokens
from vqc.bitstream import Corrupt, UnsupportedModel
from vqc.models.weights import TOKEN_MODEL
from vqc.tokens import Tokens

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def tune():
    """The stereo sample as a .vqc file of few stages."""
    return vqc.encode(SAMPLES / "tune.flac", quality=20, model=TOKEN_MODEL)


@pytest.fixture(scope="module")
def codes(tune):
    return tokens.encode(tune)


def saved(codes: Tokens) -> bytes:
    file = io.BytesIO()
    codes.save(file)
    return file.getvalue()


def test_tokens_of_a_file_decode_to_its_samples(tune, codes):
    assert codes.codes.shape == (151, 8) and codes.codes.dtype == np.int16 and (codes.codebook_sizes == 1024).all()
    assert (codes.channels, codes.rate, codes.samples, codes.frame_rate) == (2, 44100, 3 * 44100, 50)
    expected, found = vqc.decode(tune), vqc.tokens.decode(codes)
    assert np.array_equal(found.samples, expected.samples) and (found.rate, found.depth) == (expected.rate, expected.depth)


def test_tokens_of_a_sound_are_those_of_its_file(tune, codes):
    direct = tokens.encode(SAMPLES / "tune.flac", quality=20)
    assert np.array_equal(direct.codes, codes.codes)
    again = tokens.encode(tokens.to_vqc(codes))
    assert np.array_equal(again.codes, codes.codes) and again.samples == codes.samples


@pytest.mark.parametrize("length", [0, 1, 959, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_length(length, channels):
    wave = np.random.default_rng(3).normal(0, 0.1, (length, channels)).astype(np.float32)
    data = vqc.encode(wave, rate=48000, quality=0, model=TOKEN_MODEL)
    found = tokens.encode(data)
    assert found.codes.shape == ((-(-length // 960) + 1) if length else 0, channels)
    assert np.array_equal(tokens.decode(found).samples, vqc.decode(data).samples)


def test_silent_spans_are_marked_and_come_back():
    wave = np.zeros(48000 * 6, np.float32)
    wave[:9600] = np.sin(np.arange(9600) / 20) * 0.3
    data = vqc.encode(wave, rate=48000, quality=10, model=TOKEN_MODEL)
    found = tokens.encode(data)
    assert (found.codes[:128] >= 0).all() and (found.codes[128:] == -1).all()
    assert np.array_equal(tokens.decode(found).samples, vqc.decode(data).samples)
    mixed = found.codes.copy()
    mixed[130] = 5
    with pytest.raises(ValueError, match=r"span 1 .*silent"):
        tokens.decode(dataclasses.replace(found, codes=mixed))


def test_archive_round_trip(codes):
    found = Tokens.load(io.BytesIO(saved(codes)))
    for name, value in dataclasses.asdict(codes).items():
        assert np.array_equal(getattr(found, name), value), name
    assert np.load(io.BytesIO(saved(codes)), allow_pickle=False)["codes"].shape == (151, 8)


def test_tags_stay_from_sound_to_tokens_to_file_to_sound(tmp_path, vqc):
    import soundfile

    tags = {"title": "Grüße, \"World\"", "artist": "A & B"}
    with soundfile.SoundFile(tmp_path / "in.flac", "w", 48000, 1) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(np.sin(np.arange(9600) / 20) * 0.3)
    assert vqc("tokens", "encode", tmp_path / "in.flac", tmp_path / "a.npz", "-q", 0, "--quiet") == (0, "", "")
    assert Tokens.load(str(tmp_path / "a.npz")).tags.items() >= tags.items()
    assert vqc("tokens", "decode", tmp_path / "a.npz", tmp_path / "b.vqc", "--quiet") == (0, "", "")
    assert vqc("tokens", "encode", tmp_path / "b.vqc", tmp_path / "c.npz", "--quiet") == (0, "", "")
    for source in ("a.npz", "c.npz"):
        assert vqc("tokens", "decode", tmp_path / source, tmp_path / "out.flac", "--quiet", "--force") == (0, "", "")
        with soundfile.SoundFile(tmp_path / "out.flac") as file:
            assert {name: getattr(file, name) for name in tags} == tags


def test_usage_counts_codes_by_stage_over_channels_and_files(tmp_path, vqc, codes):
    first = tokens.codes_used([codes])
    assert len(first) == 4
    pooled = len(np.unique(codes.codes[:, [0, 4]])) / 1024
    assert first[0][0] == pytest.approx(pooled) and 0 < first[0][1] <= first[0][0]
    other = dataclasses.replace(codes, codes=(codes.codes + 7) % 1024)
    assert tokens.codes_used([codes, other])[0][0] > pooled
    silent = dataclasses.replace(codes, codes=np.full_like(codes.codes, -1))
    assert tokens.codes_used([codes, silent]) == first and tokens.codes_used([silent]) == []
    for wrong in (dataclasses.replace(codes, model="rvq9"), dataclasses.replace(codes, codes=codes.codes + 1024)):
        with pytest.raises(ValueError, match=r"models|lie in"):
            tokens.codes_used([codes, wrong])
    codes.save(str(tmp_path / "a.npz"))
    code, out, _ = vqc("tokens", "usage", tmp_path, "--json")
    assert code == 0 and f'"codes_used": [{round(pooled, 4)}' in out
    code, out, _ = vqc("tokens", "usage", tmp_path / "a.npz")
    assert code == 0 and len(out.splitlines()) == 5
    assert vqc("tokens", "usage", SAMPLES / "talk.flac")[0] == 1


def test_archives_without_tags_are_read(codes):
    file = io.BytesIO()
    np.savez(file, **{k: v for k, v in dataclasses.asdict(codes).items() if k != "tags"})
    file.seek(0)
    assert Tokens.load(file).tags == {}
    file = io.BytesIO()
    np.savez(file, **dataclasses.asdict(codes) | {"tags": np.array("{}")})
    file.seek(0)
    with pytest.raises(ValueError, match="tags"):
        Tokens.load(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": np.full((151, 8), 1024, np.int16)}, "1024"),
        ({"codes": np.full((151, 8), -2, np.int16)}, "-2"),
        ({"codes": np.zeros((151, 6), np.int16), "codebook_sizes": np.full(6, 1024)}, "4 codes of 1024 a channel"),
        ({"codes": np.zeros((90, 8), np.int16)}, "frames"),
        ({"codes": np.zeros((151, 8))}, "float64"),
        ({"codes": np.zeros(151, np.int16)}, "integers"),
        ({"codebook_sizes": np.full(8, 512)}, "codes of 1024"),
        ({"codebook_sizes": np.full(7, 1024)}, "sizes"),
        ({"quality": float("nan")}, "quality"),
        ({"quality": 300.0}, "quality"),
        ({"frame_rate": 75.0}, "frames a second"),
        ({"weights": "xyz"}, "false field"),
        ({"rate": 10}, "rate"),
        ({"span": 1}, "span"),
        ({"channels": 3}, "channels"),
        ({"samples": -5}, "samples"),
        ({"model": "aud2"}, "no tokens"),
        ({"model": "é" * 30}, "false field"),
    ],
)
def test_contradictions_are_refused(codes, changes, message):
    with pytest.raises(ValueError, match=message):
        tokens.decode(dataclasses.replace(codes, **changes))


def test_tokens_of_other_weights_are_refused(codes):
    with pytest.raises(UnsupportedModel, match="0011223344556677"):
        tokens.decode(dataclasses.replace(codes, weights="0011223344556677"))


def test_files_without_tokens_are_refused(tune):
    with pytest.raises(ValueError, match="no tokens"):
        tokens.encode(vqc.encode(SAMPLES / "talk.flac", quality=10))
    with pytest.raises(ValueError, match="no tokens"):
        tokens.encode(vqc.encode(np.zeros((8, 8), np.uint8)))
    with pytest.raises(ValueError, match="no tokens"):
        tokens.encode(SAMPLES / "talk.flac", model="aud2")
    damaged = bytearray(tune)
    damaged[len(tune) // 2] ^= 1
    with pytest.raises(Corrupt):
        tokens.encode(bytes(damaged))


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 2**30), st.integers(0, 255))
def test_any_bytes_are_refused_in_one_line(codes, junk, place, value):
    damaged = bytearray(saved(codes))
    damaged[place % len(damaged)] ^= value
    for data in (junk, bytes(damaged), bytes(damaged)[: place % len(damaged)]):
        try:
            tokens.to_vqc(Tokens.load(io.BytesIO(data)))
        except (ValueError, UnsupportedModel) as error:
            assert len(str(error)) < 400


def test_a_single_array_and_an_archive_of_others_are_refused():
    for write in (np.save, np.savez):
        file = io.BytesIO()
        write(file, np.zeros(3))
        file.seek(0)
        with pytest.raises(ValueError, match="not a file of tokens"):
            Tokens.load(file)
    with pytest.raises(FileNotFoundError):
        Tokens.load("no/such/file.npz")


def test_pickled_arrays_are_never_loaded():
    file = io.BytesIO()
    np.savez(file, codes=np.array([{"a": 1}], dtype=object))
    file.seek(0)
    with pytest.raises(ValueError, match="not a file of tokens"):
        Tokens.load(file)


def test_command_line(tmp_path, vqc, tune):
    coded = tmp_path / "tune.vqc"
    coded.write_bytes(tune)
    assert vqc("tokens", "encode", coded, "--quiet") == (0, "", "")
    assert vqc("tokens", "decode", tmp_path / "tune.npz", "--quiet") == (0, "", "")
    assert vqc("decode", coded, tmp_path / "direct.wav", "--quiet") == (0, "", "")
    import soundfile

    first, second = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("tune.wav", "direct.wav"))
    assert np.array_equal(first, second)
    assert vqc("tokens", "decode", tmp_path / "tune.npz", tmp_path / "again.vqc", "--quiet") == (0, "", "")
    assert vqc("tokens", "encode", SAMPLES / "talk.flac", tmp_path / "talk.npz", "--bitrate", 2, "--json")[0] == 0
    for arguments, message in (
        (("tokens", "decode", coded, tmp_path / "x.wav"), "not a file of tokens"),
        (("tokens", "decode", tmp_path / "tune.npz", tmp_path / "x.txt"), ".txt"),
        (("tokens", "encode", SAMPLES / "photo.png", tmp_path / "x.npz"), "model is for sound, and this is not"),
        (("encode", SAMPLES / "talk.flac", tmp_path / "x.vqc", "--model", "img1"), "not one of sound"),
        (("encode", SAMPLES / "talk.flac", tmp_path / "x.vqc", "--model", "aud9"), "not installed"),
    ):
        code, _, err = vqc(*arguments)
        assert code == 1 and message in err and err.count("\n") == 1, err
    assert not list(tmp_path.glob("x.*"))
