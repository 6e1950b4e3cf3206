"""Picture files as they are written: every sample and every block of metadata back, or a clear refusal."""

import io
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from vqc.image_files import UnwritableImage, read_image, to_pillow, write_image
from vqc.pixels import Pixels

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\xc3\xa9</x:xmpmeta>"
LOSSLESS = ("png", "tiff", "webp", "jp2", "bmp", "ppm", "tga")


def noise(seed, height, width, channels, alpha=False, dtype=np.uint8, **more):
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels + 1)).astype(dtype)
    return Pixels(np.ascontiguousarray(samples[..., 1:]), np.ascontiguousarray(samples[..., 0]) if alpha else None, **more)


def camera_exif(orientation):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", orientation
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0x829A: IFDRational(1, 250)}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def written(pixels, format, **options):
    file = io.BytesIO()
    write_image(pixels, file, format, **options)
    return file.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["png", "tiff"]), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.booleans(),
    st.sampled_from([np.uint8, np.uint16]), st.integers(0, 99),
)  # fmt: skip
def test_png_and_tiff_give_every_sample_back(format, height, width, channels, alpha, dtype, seed):
    pixels = noise(seed, height, width, channels, alpha, dtype)
    back = read_image(written(pixels, format))
    assert back.depth == pixels.depth
    if (format, channels, alpha, dtype) == ("tiff", 1, True, np.uint16):  # goes as RGB
        assert back.channels == 3
    else:
        assert back.channels == channels
    np.testing.assert_array_equal(back.colour, np.broadcast_to(pixels.colour, back.colour.shape))
    np.testing.assert_array_equal(back.alpha, pixels.alpha)
    assert not back.metadata


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_give_every_sample_back(format, channels):
    pixels = noise(1, 40, 50, channels)
    back = read_image(written(pixels, format))
    np.testing.assert_array_equal(np.broadcast_to(back.colour, (40, 50, 3)), np.broadcast_to(pixels.colour, (40, 50, 3)))


@pytest.mark.parametrize("format", ["jpeg", "avif"])
def test_lossy_formats_come_close(format):
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    pixels = Pixels(np.dstack((ramp, 255 - ramp, ramp // 2)))
    back = read_image(written(pixels, format))
    assert np.abs(back.colour.astype(int) - pixels.colour).max() <= 8


@pytest.mark.parametrize("format", ["png", "tiff", "webp", "avif", "jp2", "tga"])
def test_alpha_is_written_where_the_format_has_it(format):
    pixels = noise(2, 40, 50, 3, alpha=True)
    back = read_image(written(pixels, format))
    assert np.abs(back.alpha.astype(int) - pixels.alpha).max() <= (3 if format == "avif" else 0)


@pytest.mark.parametrize("format", ["jpeg", "bmp", "ppm"])
def test_alpha_is_never_dropped(format):
    with pytest.raises(UnwritableImage, match="alpha"):
        written(noise(2, 4, 5, 3, alpha=True), format)


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif", "jp2", "bmp", "tga"])
def test_sixteen_bits_are_reduced_only_when_asked(format):
    pixels = noise(3, 40, 50, 3, dtype=np.uint16)
    with pytest.raises(UnwritableImage, match=r"8 bits.*--eight-bit"):
        written(pixels, format)
    assert read_image(written(pixels, format, eight_bit=True)).depth == 8


@pytest.mark.parametrize("channels", [1, 3])
def test_ppm_of_sixteen_bits(channels):
    pixels = noise(4, 5, 6, channels, dtype=np.uint16)
    np.testing.assert_array_equal(read_image(written(pixels, "ppm")).colour, pixels.colour)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_metadata_comes_back_from_png_and_tiff_of_both_depths(format, dtype):
    metadata = {"icc": SRGB, "exif": camera_exif(1), "xmp": XMP}
    back = read_image(written(noise(5, 6, 9, 3, dtype=dtype, metadata=metadata), format))
    assert (back.metadata["icc"], back.metadata["xmp"]) == (SRGB, XMP)
    exif = Image.Exif()
    exif.load(back.metadata["exif"])
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769) == {0x9003: "2020:01:02 03:04:05", 0x829A: IFDRational(1, 250)}
    if format == "png":
        assert back.metadata["exif"] == metadata["exif"]


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_metadata_comes_back_from_the_rest(format):
    metadata = {"icc": SRGB, "exif": camera_exif(6), "xmp": XMP}
    back = read_image(written(noise(5, 6, 9, 3, metadata=metadata, orientation=6), format))
    assert (back.metadata["icc"], back.metadata["xmp"], back.orientation) == (SRGB, XMP, 6)
    exif = Image.Exif()
    exif.load(back.metadata["exif"])
    assert exif[0x010F] == "Maker"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", LOSSLESS)
def test_every_format_shows_the_picture_the_right_way_up(format, orientation):
    pixels = noise(6, 6, 9, 3, orientation=orientation)
    back = read_image(written(pixels, format))
    np.testing.assert_array_equal(back.upright().colour, pixels.upright().colour)
    if format in ("png", "webp"):
        assert back.orientation == orientation


def test_stripped_exif_leaves_the_orientation_alone():
    back = read_image(written(noise(6, 6, 9, 3, orientation=8), "jpeg"))
    exif = Image.Exif()
    exif.load(back.metadata["exif"])
    assert dict(exif) == {0x0112: 8}


def test_exif_that_says_otherwise_is_put_right():
    back = read_image(written(noise(6, 6, 9, 3, orientation=3, metadata={"exif": camera_exif(6)}), "png"))
    exif = Image.Exif()
    exif.load(back.metadata["exif"])
    assert (exif[0x0112], exif[0x010F], exif.get_ifd(0x8769)[0x9003]) == (3, "Maker", "2020:01:02 03:04:05")


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (noise(7, 4, 5, 1), "L"), (noise(7, 4, 5, 1, True), "LA"), (noise(7, 4, 5, 3), "RGB"),
        (noise(7, 4, 5, 3, True), "RGBA"),
        (noise(7, 4, 5, 1, dtype=np.uint16), "I;16"),
    ],
)  # fmt: skip
def test_to_pillow_keeps_samples(pixels, mode):
    image = to_pillow(pixels)
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image).reshape(pixels.interleaved.shape), pixels.interleaved)


def test_to_pillow_carries_metadata():
    exif = camera_exif(6)
    image = to_pillow(noise(7, 4, 5, 3, metadata={"icc": SRGB, "exif": exif, "xmp": XMP}, orientation=6))
    assert (image.info["icc_profile"], image.info["xmp"], image.getexif()[0x0112]) == (SRGB, XMP, 6)
    assert read_image(image).metadata == {"icc": SRGB, "exif": exif, "xmp": XMP}


def test_to_pillow_refuses_what_pillow_cannot_hold():
    for pixels in (noise(7, 4, 5, 3, dtype=np.uint16), noise(7, 4, 5, 1, True, dtype=np.uint16)):
        with pytest.raises(ValueError, match="16-bit"):
            to_pillow(pixels)


def test_the_extension_of_a_path_decides(tmp_path):
    for name, format in [("a.png", "PNG"), ("b.TIF", "TIFF"), ("c.jpg", "JPEG")]:
        write_image(noise(8, 4, 5, 3), tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.format == format
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.TIF", "c.jpg"]


def test_an_unknown_format_is_refused_and_writes_nothing(tmp_path):
    for name in ("a.xyz", "noextension"):
        with pytest.raises(UnwritableImage):
            write_image(noise(8, 4, 5, 3), tmp_path / name)
    assert not os.listdir(tmp_path)


def test_metadata_too_large_for_the_format_is_said():
    with pytest.raises(UnwritableImage, match="JPEG"):
        written(noise(8, 4, 5, 3, metadata={"xmp": b"x" * 70000}), "jpeg")


def test_writing_sixteen_bits_takes_memory_in_bands():
    pixels = Pixels(np.zeros((2048, 1024, 3), np.uint16))
    tracemalloc.start()
    written(pixels, "png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * pixels.colour.nbytes
