"""Pillow opens and saves .vqc files as it does any other."""

import io

import numpy as np
import pytest
from PIL import Image

import vqc
import vqc.pillow_plugin


def picture(height=40, width=60, channels=3):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([(x * 3 + y * (c + 1)) % 256 for c in range(channels)], -1).astype(np.uint8)


def test_save_and_open_by_name(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.vqc", quality=90)
    with Image.open(tmp_path / "a.vqc") as image:
        assert (image.format, image.mode, image.size) == ("VQC", "RGB", (60, 40))
        pixels = np.asarray(image)
    assert np.array_equal(pixels, vqc.decode(tmp_path / "a.vqc").pixels)


def test_opening_decodes_nothing(tmp_path, monkeypatch):
    Image.fromarray(picture()).save(tmp_path / "a.vqc")
    monkeypatch.setattr(vqc, "decode", lambda *_: pytest.fail("decoded too early"), raising=False)
    with Image.open(tmp_path / "a.vqc") as image:
        assert image.size == (60, 40)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_modes_are_kept_and_alpha_is_lossless(channels, mode):
    pixels = picture(channels=channels)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "VQC", quality=80)
    image = Image.open(io.BytesIO(file.getvalue()))
    assert image.mode == mode
    if channels in (2, 4):
        assert np.array_equal(np.asarray(image)[..., -1], pixels[..., -1])


def test_sixteen_bit_grey():
    levels = np.linspace(0, 65535, 64 * 32).reshape(32, 64).astype(np.uint16)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "VQC", quality=100)
    image = Image.open(io.BytesIO(file.getvalue()))
    assert image.mode == "I;16"
    assert np.abs(np.asarray(image).astype(int) - levels).mean() < 800


def test_quality_is_passed_on():
    sizes = []
    for quality in (10, 90):
        file = io.BytesIO()
        Image.fromarray(picture()).save(file, "VQC", quality=quality)
        sizes.append(len(file.getvalue()))
    assert sizes[0] < sizes[1]


def test_metadata_goes_both_ways():
    exif = Image.Exif()
    exif[0x010E] = "told"
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "VQC", exif=exif, icc_profile=b"some profile")
    image = Image.open(io.BytesIO(file.getvalue()))
    assert image.getexif()[0x010E] == "told" and image.info["icc_profile"] == b"some profile"


def test_damaged_file_is_an_oserror_as_pillow_promises():
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "VQC")
    data = bytearray(file.getvalue())
    data[-30] ^= 1
    with pytest.raises(OSError, match="vqc file"):
        Image.open(io.BytesIO(bytes(data))).load()


def test_other_files_are_left_to_others():
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(b"\x89VQD and something else"))
