"""Pictures from every kind of source, with nothing lost without a word."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from vqc.bitstream.errors import LimitExceeded
from vqc.bitstream.limits import Limits
from vqc.image_files import UnreadableInput, read_image

EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010F], EXIF[0x8769] = 6, "Maker", {0x9003: "2020:01:02 03:04:05"}
EXIF = EXIF.tobytes()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def saved(image, format="PNG", **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def noise(rng, *shape, dtype=np.uint8):
    return rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def png(samples, colour_type, *chunks):
    """A 16-bit PNG, unfiltered: independent of the writer under test. samples: (H, W, C) uint16."""
    height, width, _ = samples.shape

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)), *(chunk(*c) for c in chunks)]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


# Sources


def test_path_file_bytes_image_and_array_give_the_same(rng, tmp_path):
    samples = noise(rng, 5, 7, 3)
    data = saved(Image.fromarray(samples))
    (tmp_path / "a.png").write_bytes(data)
    pipe = io.BufferedReader(io.BytesIO(b"before" + data))
    pipe.read(6)
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), data, bytearray(data), memoryview(data), io.BytesIO(data), pipe]
    sources += [Image.open(io.BytesIO(data)), Image.fromarray(samples), samples, samples[::-1][::-1]]
    for source in sources:
        pixels = read_image(source)
        np.testing.assert_array_equal(pixels.colour, samples)
        assert pixels.alpha is None


def test_an_unseekable_stream_is_read(rng):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    samples = noise(rng, 5, 7, 3)
    np.testing.assert_array_equal(read_image(Pipe(saved(Image.fromarray(samples)))).colour, samples)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("shape", "channels", "alpha"),
    [((4, 5), 1, False), ((4, 5, 1), 1, False), ((4, 5, 2), 1, True), ((4, 5, 3), 3, False), ((4, 5, 4), 3, True)],
)
def test_arrays_and_tensors_of_every_layout(rng, dtype, shape, channels, alpha):
    torch = pytest.importorskip("torch")
    samples = noise(rng, *shape, dtype=dtype)
    swapped = samples.astype(samples.dtype.newbyteorder())
    for source in (samples, swapped, torch.from_numpy(samples)):
        pixels = read_image(source)
        assert (pixels.channels, pixels.alpha is not None, pixels.colour.dtype) == (channels, alpha, dtype)
        np.testing.assert_array_equal(pixels.interleaved.reshape(shape), samples)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 3), np.float32), "float32"),
        (np.zeros((4, 5, 3), np.int64), "int64"),
        (np.zeros((4, 5), bool), "bool"),
        (np.zeros((3, 40, 50), np.uint8), "channels first"),
        (np.zeros((1, 3, 4, 5), np.uint8), "shape"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(array, words):
    with pytest.raises(UnreadableInput, match=words):
        read_image(array)


def test_a_tensor_of_floats_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(UnreadableInput, match="bfloat16"):
        read_image(torch.zeros(4, 5, 3, dtype=torch.bfloat16))


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="dict"):
        read_image({})


# Modes


@pytest.mark.parametrize(
    ("mode", "channels", "alpha"),
    [
        ("1", 1, False), ("L", 1, False), ("LA", 1, True), ("P", 3, False), ("PA", 3, True), ("RGB", 3, False),
        ("RGBX", 3, False), ("RGBA", 3, True), ("RGBa", 3, True), ("YCbCr", 3, False), ("HSV", 3, False), ("CMYK", 3, False),
    ],
)  # fmt: skip
def test_every_eight_bit_mode(rng, mode, channels, alpha):
    image = Image.fromarray(noise(rng, 6, 8, 4), "RGBA")
    image = image.convert("RGB").convert(mode) if mode in ("YCbCr", "HSV", "CMYK", "RGBX", "P", "1") else image.convert(mode)
    pixels = read_image(image)
    assert (pixels.channels, pixels.alpha is not None, pixels.depth) == (channels, alpha, 8)
    expected = np.asarray(image.convert("RGBA" if alpha else "RGB"))
    np.testing.assert_array_equal(np.broadcast_to(pixels.colour, (6, 8, 3)), expected[..., :3])
    if alpha:
        np.testing.assert_array_equal(pixels.alpha, expected[..., 3])


def test_lab_becomes_srgb():
    image = Image.new("LAB", (2, 2), (255, 128, 128))
    pixels = read_image(image)
    assert pixels.channels == 3 and pixels.colour.min() >= 253


def test_palette_transparency_by_index_and_by_bytes(rng):
    image = Image.fromarray(noise(rng, 6, 8, 3)).quantize(8)
    indices = np.asarray(image)
    by_index = read_image(saved(image, transparency=3))
    by_bytes = read_image(saved(image, transparency=bytes([10, 20, 30, 40, 50, 60, 70, 80])))
    np.testing.assert_array_equal(by_index.alpha, np.where(indices == 3, 0, 255))
    np.testing.assert_array_equal(by_bytes.alpha, 10 + 10 * indices)


def test_colour_key_becomes_alpha():
    samples = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert read_image(saved(Image.fromarray(samples), transparency=(4, 5, 6))).alpha.tolist() == [[255, 0]]
    grey = Image.fromarray(samples[..., 0])
    assert read_image(saved(grey, transparency=4)).alpha.tolist() == [[255, 0]]


def test_cmyk_goes_through_its_profile(tmp_path):
    # An sRGB profile does not describe CMYK: whatever uses the profile must fail on it, and whatever ignores it would not.
    image = Image.new("CMYK", (4, 4), (200, 30, 60, 10))
    with pytest.raises(UnreadableInput, match="CMYK colour profile"):
        read_image(saved(image, "TIFF", icc_profile=SRGB))
    plain = read_image(saved(image, "JPEG", quality=100))
    assert plain.channels == 3 and not plain.metadata


# More than eight bits


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_sixteen_bits_keeps_them(rng, colour_type, channels):
    samples = noise(rng, 9, 11, channels, dtype=np.uint16)
    pixels = read_image(png(samples, colour_type))
    assert pixels.depth == 16
    np.testing.assert_array_equal(pixels.interleaved, samples)


def test_png_of_sixteen_bits_with_a_colour_key(rng):
    samples = noise(rng, 3, 4, 3, dtype=np.uint16)
    pixels = read_image(png(samples, 2, (b"tRNS", samples[1, 2].astype(">u2").tobytes())))
    np.testing.assert_array_equal(pixels.colour, samples)
    assert (pixels.alpha == 0).sum() == 1 and pixels.alpha[1, 2] == 0
    grey = read_image(png(samples[..., :1], 0, (b"tRNS", samples[1, 2, :1].astype(">u2").tobytes())))
    assert grey.alpha[1, 2] == 0 and grey.alpha.max() == 65535


def test_an_opened_but_unloaded_png_keeps_sixteen_bits(rng, tmp_path):
    samples = noise(rng, 9, 11, 3, dtype=np.uint16)
    (tmp_path / "deep.png").write_bytes(png(samples, 2))
    np.testing.assert_array_equal(read_image(Image.open(tmp_path / "deep.png")).colour, samples)
    loaded = Image.open(tmp_path / "deep.png")
    loaded.load()
    with pytest.raises(UnreadableInput, match="16 bits"):
        read_image(loaded)


@pytest.mark.parametrize(("magic", "channels"), [(b"P5", 1), (b"P6", 3)])
def test_netpbm_of_sixteen_bits(rng, magic, channels):
    samples = noise(rng, 9, 11, channels, dtype=np.uint16)
    pixels = read_image(magic + b" 11 9 65535\n" + samples.astype(">u2").tobytes())
    np.testing.assert_array_equal(pixels.colour, samples)


def test_sixteen_bit_grey_tiff_with_white_as_zero(rng):
    samples = noise(rng, 9, 11, dtype=np.uint16)
    data = saved(Image.fromarray(samples), "TIFF", tiffinfo={262: 0})
    with Image.open(io.BytesIO(data)) as image:
        assert image.tag_v2[262] == 0
    np.testing.assert_array_equal(read_image(data).colour[..., 0], 65535 - samples)


def test_sixteen_bit_cmyk_tiff_is_refused_not_cut(rng):
    samples = noise(rng, 4, 4, 4, dtype=np.uint16)
    directory = {256: 4, 257: 4, 258: (16,) * 4, 259: 1, 262: 5, 273: 0, 277: 4, 278: 4, 279: samples.nbytes}
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    tags.update(directory)
    tags.tagtype[273] = tags.tagtype[279] = 4
    out = io.BytesIO()
    tags.save(out)
    out.write(samples.astype("<u2").tobytes())
    with pytest.raises(UnreadableInput, match="16 bits"):
        read_image(out.getvalue())


def test_thirty_two_bit_integers_are_taken_where_they_fit():
    image = Image.new("I", (2, 1))
    image.putdata([0, 65535])
    assert read_image(image).colour.ravel().tolist() == [0, 65535]
    image.putdata([0, 65536])
    with pytest.raises(UnreadableInput, match="0 to 65536"):
        read_image(image)
    image.putdata([-1, 5])
    with pytest.raises(UnreadableInput, match="-1 to 5"):
        read_image(image)


def test_floats_are_refused():
    with pytest.raises(UnreadableInput, match="mode F"):
        read_image(saved(Image.new("F", (2, 2)), "TIFF"))


def test_ten_bit_avif_and_jpeg2000_colour_are_found_out():
    from vqc.deep_images import _avif_depth, _jpeg2000_depth

    assert _avif_depth(b"....av1C\x81\x00\x00\x00") == 8
    assert _avif_depth(b"....av1C\x81\x00\x40\x00") == 10
    assert _avif_depth(b"....av1C\x81\x40\x60\x00") == 12
    assert _avif_depth(saved(Image.new("RGB", (8, 8)), "AVIF")) == 8
    data = saved(Image.new("RGB", (8, 8)), "JPEG2000")
    assert _jpeg2000_depth(data) == 8
    first = data.index(b"\xff\x4f\xff\x51") + 42
    assert data[first] == 7
    deep = data[:first] + b"\x0b" + data[first + 1 :]
    assert _jpeg2000_depth(deep) == 12
    with pytest.raises(UnreadableInput):
        read_image(deep)


# Metadata


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_metadata_and_orientation_are_kept(rng, format):
    exif = Image.Exif()
    exif.load(EXIF)
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    options = {"icc_profile": SRGB, "exif": exif, "xmp": xmp}
    if format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    if format == "TIFF":
        exif[700] = options.pop("xmp")
    image = Image.fromarray(noise(rng, 6, 9, 3))
    pixels = read_image(saved(image, format, **options))
    assert pixels.metadata["icc"] == SRGB
    assert pixels.metadata["xmp"] == xmp
    read = Image.Exif()
    read.load(pixels.metadata["exif"])
    assert pixels.metadata["exif"][:2] in (b"II", b"MM")
    assert (read[0x010F], read.get_ifd(0x8769)[0x9003]) == ("Maker", "2020:01:02 03:04:05")
    assert read.get(0x0112, 1) == pixels.orientation
    # Pillow itself turns a TIFF upright when it loads it.
    assert (pixels.orientation, pixels.width) == ((1, 6) if format == "TIFF" else (6, 9))
    assert not set(read) & {256, 257, 258, 259, 262, 273, 277, 278, 279}


def test_damaged_exif_is_kept_and_says_nothing(rng):
    data = saved(Image.fromarray(noise(rng, 6, 9, 3)), "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    pixels = read_image(data)
    assert pixels.orientation == 1 and pixels.metadata["exif"].startswith(b"II*\0")


def test_without_metadata_there_is_none(rng):
    for format in ("PNG", "JPEG", "TIFF", "WEBP"):
        assert not read_image(saved(Image.fromarray(noise(rng, 6, 9, 3)), format)).metadata


# Several pictures


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF", "WEBP"])
def test_several_frames_are_refused_unless_one_is_chosen(format):
    images = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    extra = {"lossless": True} if format == "WEBP" else {}
    data = saved(images[0], format, save_all=True, append_images=images[1:], **extra)
    with pytest.raises(UnreadableInput, match="holds 3 frames"):
        read_image(data)
    assert read_image(data, frame=0).colour[0, 0].tolist() == [255, 0, 0]
    assert read_image(data, frame=2).colour[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(UnreadableInput, match="no frame 3"):
        read_image(data, frame=3)


def test_choosing_a_frame_leaves_the_image_where_it_was():
    images = [Image.new("L", (8, 8), value) for value in (10, 20)]
    with Image.open(io.BytesIO(saved(images[0], "TIFF", save_all=True, append_images=images[1:]))) as image:
        assert read_image(image, frame=1).colour[0, 0] == 20
        assert image.tell() == 0


# Bad input


def test_limits_decide_and_not_pillow(monkeypatch, rng):
    data = saved(Image.fromarray(noise(rng, 20, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_image(data).width == 30
    assert Image.MAX_IMAGE_PIXELS == 10
    for source in (data, noise(rng, 20, 30), Image.open(io.BytesIO(saved(Image.new("1", (3, 3)))))):
        with pytest.raises(LimitExceeded, match="pixels"):
            read_image(source, limits=Limits(pixels=8))
    with pytest.raises(LimitExceeded, match="side"):
        read_image(data, limits=Limits(side=29))


def test_a_claim_of_absurd_size_is_refused_before_allocation():
    bomb = png(np.zeros((1, 1, 1), np.uint16), 0)
    header = b"IHDR" + struct.pack(">IIBBBBB", 200000, 200000, 16, 0, 0, 0, 0)
    bomb = bomb[:12] + header + struct.pack(">I", zlib.crc32(header)) + bomb[33:]
    with pytest.raises(LimitExceeded):
        read_image(bomb)


def test_a_missing_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")


def test_what_is_wrong_is_said_with_the_name(tmp_path):
    for name, content, words in [("empty.png", b"", "empty"), ("text.png", b"hello, world", "not an image")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableInput, match=words) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value) and caught.value.source.endswith(name)


def test_a_truncated_file_is_never_half_a_picture(rng):
    samples = noise(rng, 12, 13, 3)
    deep = noise(rng, 12, 13, 3, dtype=np.uint16)
    for data, expected in [(saved(Image.fromarray(samples)), samples), (png(deep, 2), deep)]:
        for end in range(0, len(data) - 20, 7):
            with pytest.raises(UnreadableInput):
                read_image(data[:end])
        np.testing.assert_array_equal(read_image(data).colour, expected)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "TIFF", "GIF", "BMP", "JPEG", "PPM"]), st.integers(0, 2**32))
def test_damaged_bytes_give_a_picture_or_a_named_error(format, seed):
    randomness = random.Random(seed)
    data = bytearray(saved(Image.effect_noise((16, 16), 40).convert("RGB").quantize(16).convert("RGB"), format))
    for _ in range(randomness.randint(1, 4)):
        data[randomness.randrange(len(data))] = randomness.randrange(256)
    try:
        read_image(bytes(data), limits=Limits(pixels=2**20))
    except (UnreadableInput, LimitExceeded) as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_named_error(data):
    with pytest.raises((UnreadableInput, LimitExceeded)):
        read_image(data, limits=Limits(pixels=2**16))


@pytest.mark.parametrize(
    ("chunk", "body", "told"),
    [(b"cICP", b"\x09\x10\x00\x01", "cICP"), (b"gAMA", (100000).to_bytes(4, "big"), "gamma of 1")],
)
def test_colour_chunks_that_are_not_kept_are_told(chunk, body, told):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    data = file.getvalue()
    extra = len(body).to_bytes(4, "big") + chunk + body + zlib.crc32(chunk + body).to_bytes(4, "big")
    with pytest.warns(UserWarning, match=told):
        read_image(data[:33] + extra + data[33:])
