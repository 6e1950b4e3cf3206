"""The adapters: real bytes from pixels and pixels from bytes, and specs as typed on the command line."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import vqc
from vqc.models import weights
from vqc.tools.compressai_shim import CompressaiMissing, import_compressai
from vqc.tools.rd.codecs import CODECS, CodecUnavailable, make_codec, make_codecs
from vqc.tools.rd.picture import PICTURE
from vqc.tools.rd.picture_metrics import psnr

CONVERT = f"{sys.executable} -c "
HEAD = CONVERT + "'import sys; from PIL import Image; Image.open(sys.argv[1])"
ENCODER = HEAD + ".save(sys.argv[2], \"WEBP\", quality=int(sys.argv[3]))'"
DECODER = HEAD + ".save(sys.argv[2])'"
PROGRAMS = {"mine": (f"{ENCODER} {{source}} {{coded}} {{quality}}", f"{DECODER} {{coded}} {{decoded}}")}
NAMES = [name for name in CODECS[PICTURE.name] if name != "zoo"] + ["mine"]


def codec_here(spec):
    codec = make_codec(spec, PROGRAMS)
    try:
        codec.version()
    except CodecUnavailable as error:
        pytest.skip(str(error))
    return codec


@pytest.mark.parametrize("name", NAMES)
def test_more_bytes_bring_more_quality(name, picture):
    codec = codec_here(name)
    low, *_, high = codec.points(4)
    found = []
    for setting in (low, high):
        data = codec.encode(picture, setting)
        decoded = codec.decode(data)
        assert isinstance(data, bytes)
        assert decoded.shape == picture.shape and decoded.dtype == np.uint8
        found.append((len(data), psnr(picture, decoded)))
    assert found[0][0] < found[1][0] and found[0][1] < found[1][1]
    assert found[1][1] > 28


@pytest.mark.parametrize("name", NAMES)
def test_the_same_picture_gives_the_same_bytes_after_pickling(name, picture):
    codec = codec_here(name)
    setting = codec.points(3)[1]
    assert codec.encode(picture, setting) == pickle.loads(pickle.dumps(codec)).encode(picture, setting)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mine"])
@pytest.mark.parametrize("size", [(1, 1), (7, 200), (33, 16)])
def test_odd_sizes(name, size, draw):
    codec = codec_here(name)
    image = np.ascontiguousarray(draw(1)[: size[0], : size[1]])
    setting = codec.points(3)[1]
    assert codec.decode(codec.encode(image, setting)).shape == image.shape


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mine"])
def test_both_ends_of_the_settings_are_coded(name, picture):
    codec = codec_here(name)
    for setting in (codec.settings[0], codec.settings[-1]):
        assert codec.decode(codec.encode(picture, setting)).shape == picture.shape


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="counts threads in /proc")
@pytest.mark.parametrize("name", ["avif", "jxl"])
def test_a_decoder_uses_the_threads_it_was_given(name, picture, tmp_path):
    codec = codec_here(name)
    (tmp_path / "coded").write_bytes(codec.encode(np.tile(picture, (6, 6, 1)), codec.points(3)[1]))
    # In a process of its own, where nothing has made threads before; sampled while the decoder runs.
    program = """if True:
        import os, sys, threading
        from vqc.tools.rd.codecs import make_codec
        data, codec, most, done = open(sys.argv[1], "rb").read(), make_codec(sys.argv[2], {}, 3), 0, threading.Event()
        before = len(os.listdir("/proc/self/task")) + 1
        def sample():
            global most
            while not done.wait(0.0005):
                most = max(most, len(os.listdir("/proc/self/task")) - before)
        os.sched_getaffinity = lambda pid: set(range(16))
        watch = threading.Thread(target=sample)
        watch.start()
        for _ in range(5):
            codec.decode(data)
        done.set()
        watch.join()
        print(most)
    """
    most = subprocess.run([sys.executable, "-c", program, str(tmp_path / "coded"), name], capture_output=True, check=True)
    assert int(most.stdout) <= 3


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mine"])
@pytest.mark.parametrize("count", [2, 6, 9, 30])
def test_points_rise_and_are_settings_of_the_codec(name, count):
    codec = make_codec(name, {})
    points = codec.points(count)
    assert list(points) == sorted(set(points))
    assert 2 <= len(points) <= count
    assert set(points) <= set(codec.settings)


def test_jpeg_is_what_pillow_writes(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=55, optimize=True)
    assert make_codec("jpeg", {}).encode(picture, 55) == file.getvalue()


def test_jpeg2000_has_its_colour_transform(picture):
    data = codec_here("jpeg2000").encode(picture, 33)
    # ISO/IEC 15444-1, A.6.1: marker COD, length, style, progression order, layers, then the multiple component transformation.
    marker = data.index(b"\xff\x52")
    assert data[marker + 8] == 1


def test_vqc_with_its_model_named_is_vqc(picture):
    named = codec_here(f"vqc:model={weights.IMAGE_MODEL}")
    data = named.encode(picture, 42.5)
    assert data == make_codec("vqc", {}).encode(picture, 42.5) == vqc.encode(picture, quality=42.5, device="cpu")
    assert named.version() == make_codec("vqc", {}).version()


def test_a_model_that_is_not_installed_is_unavailable():
    with pytest.raises(CodecUnavailable, match="nonesuch"):
        make_codec("vqc:model=nonesuch", {}).version()


def test_options_of_a_spec_reach_the_codec():
    codec = make_codec("jpeg:subsampling=4:4:4:progressive=1:ladder=10/50.5/90:label=JPEG 4:4:4", {}, threads=3)
    assert (codec.subsampling, codec.progressive, codec.ladder) == ("4:4:4", True, (10, 50.5, 90))
    assert (codec.label, codec.threads, codec.points(6)) == ("JPEG 4:4:4", 3, (10, 50.5, 90))
    assert make_codec("avif:speed=9", {}).label == "avif:speed=9"


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("gif", "gif"),
        ("jpeg:speed=3", "speed"),
        ("avif:speed=fast", "speed"),
        ("jpeg:optimize=yes", "optimize"),
        ("jpeg:threads=2", "threads"),
        ("jpeg:ladder=", "empty"),
        ("jpeg:ladder=20/50/20", "twice"),
        ("jpeg:ladder=20/50/500", "500"),
        ("webp:ladder=20/high", "high"),
    ],
)
def test_a_wrong_spec_is_named(spec, word):
    with pytest.raises(ValueError, match=word):
        make_codec(spec, {})


def test_two_codecs_of_one_label_are_refused():
    with pytest.raises(ValueError, match="label="):
        make_codecs(["jpeg", "jpeg"], {}, 1)


def test_a_program_that_fails_tells_its_last_line(picture):
    codec = make_codec("bad", {"bad": (CONVERT + "'raise SystemExit(\"no such quality\")' {source}", "true")})
    with pytest.raises(OSError, match="no such quality"):
        codec.encode(picture, 10)


@pytest.mark.parametrize(
    ("encoder", "word"),
    [("enc {sorce} {coded}", "sorce"), ("enc '{source}", "quotation"), ("enc {} {coded}", "enc {}"), ("", "needs")],
)
def test_a_template_that_cannot_be_filled_in_is_refused_at_once(encoder, word):
    with pytest.raises(ValueError, match=word):
        make_codec("bad", {"bad": (encoder, "dec {coded} {decoded}")})


def test_a_program_among_no_codecs_is_refused():
    with pytest.raises(ValueError, match="mine"):
        make_codecs(["jpeg"], PROGRAMS, 1)
    assert [codec.label for codec in make_codecs(["jpeg", " mine"], PROGRAMS, 1)] == ["jpeg", "mine"]


def test_a_program_that_is_not_there_is_unavailable():
    with pytest.raises(CodecUnavailable, match="no-such-encoder"):
        make_codec("bad", {"bad": ("no-such-encoder {source}", "true")}).version()


@pytest.fixture
def architectures():
    try:
        return import_compressai().zoo.image.model_architectures
    except CompressaiMissing as error:
        pytest.skip(str(error))


def test_a_model_of_compressai_codes_from_a_checkpoint(tmp_path, picture, architectures):
    torch.manual_seed(0)
    for number, channels in ((2, 8), (10, 12)):
        torch.save(architectures["bmshj2018-factorized"](channels, 16).state_dict(), tmp_path / f"q{number}.pth.tar")
    codec = make_codec(f"zoo:arch=bmshj2018-factorized:checkpoint={tmp_path}", {})
    assert [str(path).rsplit("/", 1)[1] for path in codec.points(6)] == ["q2.pth.tar", "q10.pth.tar"]
    assert "compressai" in codec.version()
    image = picture[:70, :130]
    for setting in codec.points(6):
        data = codec.encode(image, setting)
        assert codec.decode(data).shape == image.shape
        assert codec.encode(image, setting) == data


@pytest.mark.usefixtures("architectures")
def test_a_zoo_without_checkpoint_or_architecture_is_unavailable(tmp_path):
    for spec in ("zoo:arch=nonsense", f"zoo:arch=mbt2018:checkpoint={tmp_path / 'none'}"):
        with pytest.raises(CodecUnavailable):
            make_codec(spec, {}).version()
