"""encode, decode, inspect and verify on real pictures and damaged files."""

import dataclasses
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

import vqc
from vqc.bitstream import Corrupt, Limits, Reader, UnsupportedModel, VqcError, Writer
from vqc.image_decoding import TileDecoder
from vqc.image_encoding import encode_segments, header_for
from vqc.models import weights
from vqc.pixels import Pixels

CPU = torch.device("cpu")


def picture(height, width, channels=3, seed=0):
    """Smooth shapes with some texture, uint8 (H, W, C)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 70 * np.sin(x / (11 + 3 * c) + y / 29) + 40 * np.cos(y / (7 + c)) for c in range(channels)]
    return np.clip(np.stack(planes, -1) + rng.normal(0, 3, (height, width, channels)), 0, 255).astype(np.uint8)


def psnr(a, b, peak=255):
    return 10 * np.log10(peak**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def tiled(pixels, quality=600, tile=6):
    """A file with tiles of 64 pixels, so that small pictures have many."""
    header = dataclasses.replace(header_for(pixels, quality), tile=tile)
    file = io.BytesIO()
    writer = Writer(file, header)
    for segment in encode_segments(pixels, header, CPU):
        writer.segment(segment)
    writer.close()
    return file.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (16, 16), (17, 31), (64, 48), (130, 3), (97, 203)])
def test_any_size_comes_back_alike(size):
    original = picture(*size)
    decoded = vqc.decode(vqc.encode(original, quality=80))
    assert decoded.pixels.shape == original.shape and decoded.pixels.dtype == np.uint8
    assert decoded.damage == []
    assert psnr(decoded.pixels, original) > 30


def test_higher_quality_costs_more_and_shows_more():
    original = picture(128, 192)
    files = [vqc.encode(original, quality=q) for q in (0, 25, 50, 75, 100)]
    sizes = [len(f) for f in files]
    quality = [psnr(vqc.decode(f).pixels, original) for f in files]
    assert sizes == sorted(sizes) and quality == sorted(quality)
    assert sizes[-1] > 3 * sizes[0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_layouts_and_depths_are_kept_and_alpha_is_lossless(channels, dtype):
    original = picture(70, 50, channels)
    if dtype == np.uint16:
        original = original.astype(np.uint16) * 257 + 13
        original = np.clip(original, 0, 65535).astype(np.uint16)
    decoded = vqc.decode(vqc.encode(original, quality=90)).pixels
    assert decoded.shape == original.shape and decoded.dtype == dtype
    colours = 1 if channels < 3 else 3
    assert np.array_equal(decoded[..., colours:], original[..., colours:])
    assert psnr(decoded[..., :colours], original[..., :colours], np.iinfo(dtype).max) > 32


def test_sixteen_bits_are_really_coded():
    """A gradient of less than one 8-bit step must not come back as one flat step."""
    gradient = np.broadcast_to(np.linspace(30000, 30200, 256), (64, 256))[..., None].repeat(3, 2).astype(np.uint16)
    decoded = vqc.decode(vqc.encode(gradient, quality=100)).pixels.astype(float)
    assert np.unique(decoded[32, :, 0]).size > 20
    assert np.abs(decoded - gradient).mean() < 257


def test_tiles_join_without_seams():
    """Tiled and whole coding of the same picture differ no more at tile edges than elsewhere."""
    original = Pixels(picture(192, 256))
    many, one = (vqc.decode(tiled(original, tile=t)).pixels.astype(float) for t in (6, 10))
    error_many, error_one = (np.abs(d - original.colour).mean(axis=2) for d in (many, one))
    edges = np.zeros((192, 256), bool)
    for e in range(64, 256, 64):
        edges[max(e - 1, 0) : e + 1] = True
        edges[:, e - 1 : e + 1] = True
    assert abs(error_many[edges].mean() / error_one[edges].mean() - 1) < 0.1


@pytest.mark.parametrize("region", [(0, 0, 200, 150), (63, 65, 2, 1), (64, 64, 64, 64), (130, 10, 61, 139), (199, 149, 1, 1)])
def test_a_region_is_the_same_part_of_the_whole(region):
    pixels = picture(150, 200, 4)
    data = tiled(Pixels(pixels[..., :3], pixels[..., 3]))
    whole = vqc.decode(data).pixels
    x, y, w, h = region
    part = vqc.decode(data, region=region).pixels
    assert np.array_equal(part[..., 3], whole[y : y + h, x : x + w, 3])
    assert np.abs(part.astype(int) - whole[y : y + h, x : x + w]).max() <= 1


def test_a_region_reads_only_the_tiles_it_needs():
    class Counting(io.BytesIO):
        count = 0

        def read(self, *size):
            data = super().read(*size)
            self.count += len(data)
            return data

    data = tiled(Pixels(picture(512, 512)), quality=1000)
    file = Counting(data)
    vqc.decode(file, region=(10, 10, 8, 8))
    assert file.count < len(data) / 4


@pytest.mark.parametrize("region", [(-1, 0, 5, 5), (0, 0, 0, 5), (60, 0, 5, 5), (0, 0, 64, 65)])
def test_a_region_outside_is_refused(region):
    with pytest.raises(ValueError, match="not inside the picture of 64x64"):
        vqc.decode(vqc.encode(picture(64, 64)), region=region)


def test_pipes_give_and_take_files():
    """Writer and reader need only write() and read()."""

    class Pipe:
        def __init__(self, data=b""):
            self.buffer = io.BytesIO(data)

        def write(self, data):
            return self.buffer.write(data)

        def read(self, size=-1):
            return self.buffer.read(size)

        def seekable(self):
            return False

    pipe = Pipe()
    vqc.encode_to(picture(80, 100), pipe)
    data = pipe.buffer.getvalue()
    assert np.array_equal(vqc.decode(Pipe(data)).pixels, vqc.decode(data).pixels)
    assert vqc.inspect(Pipe(data)).width == 100


def test_every_flipped_byte_of_a_small_file_is_refused():
    data = vqc.encode(picture(20, 24), quality=30)
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 0x41
        with pytest.raises(VqcError):
            vqc.decode(bytes(damaged))


def test_every_truncation_of_a_small_file_is_refused():
    data = vqc.encode(picture(20, 24), quality=30)
    for size in range(len(data)):
        with pytest.raises(VqcError):
            vqc.decode(data[:size])


def test_one_damaged_tile_costs_one_tile():
    original = Pixels(picture(192, 192))
    data = bytearray(tiled(original))
    entry = Reader(io.BytesIO(bytes(data))).index()[4]
    data[entry.offset + entry.size // 2] ^= 0xFF
    with pytest.raises(VqcError):
        vqc.decode(bytes(data))
    partial = vqc.decode(bytes(data), allow_partial=True)
    whole = vqc.decode(tiled(original)).pixels
    assert partial.damage
    assert (partial.pixels[64:128, 64:128] == 128).all()
    away = np.ones((192, 192), bool)
    away[32:160, 32:160] = False
    assert np.abs(partial.pixels[away].astype(int) - whole[away]).max() <= 1
    report = vqc.verify(bytes(data))
    assert not report.ok and report.segments == 8


def test_a_truncated_file_gives_its_first_tiles():
    data = tiled(Pixels(picture(192, 64)))
    partial = vqc.decode(data[: len(data) * 2 // 3], allow_partial=True)
    assert partial.damage
    assert psnr(partial.pixels[:32], picture(192, 64)[:32]) > 25


def test_verify_passes_a_whole_file():
    report = vqc.verify(vqc.encode(picture(40, 40, 4)))
    assert report.ok and report.segments == 2


def test_other_weights_are_refused_with_both_names():
    header = dataclasses.replace(header_for(Pixels(picture(16, 16)), 500), weights=b"\x01" * 8)
    file = io.BytesIO()
    Writer(file, header).close()
    with pytest.raises(UnsupportedModel, match=r"0101010101010101.*installed"):
        vqc.decode(file.getvalue())


def test_an_unknown_model_is_refused_with_both_names():
    header = dataclasses.replace(header_for(Pixels(picture(16, 16)), 500), model="img99")
    file = io.BytesIO()
    Writer(file, header).close()
    with pytest.raises(UnsupportedModel, match=rf"'img99'.*'{weights.IMAGE_MODEL}'"):
        vqc.decode(file.getvalue())


def test_limits_hold_before_anything_is_decoded():
    data = vqc.encode(picture(64, 64))
    with pytest.raises(VqcError, match="pixels"):
        vqc.decode(data, limits=Limits(pixels=4000))


@pytest.mark.parametrize("target", [600, 2500])
def test_target_size_is_met_within_two_percent(target):
    data = vqc.encode(picture(160, 160), target_size=target)
    assert abs(len(data) - target) <= 0.02 * target


def test_bpp_counts_the_whole_file():
    data = vqc.encode(picture(160, 160), bpp=0.8)
    info = vqc.inspect(data)
    assert info.bpp == len(data) * 8 / 160**2
    assert abs(info.bpp - 0.8) <= 0.02 * 0.8


def test_a_one_tile_file_has_at_most_64_bytes_beside_its_payload():
    data = vqc.encode(picture(300, 400))
    (segment,) = Reader(io.BytesIO(data)).segments()
    assert len(data) - len(segment.payload) <= 64


def test_metadata_is_kept_and_strip_drops_it():
    image = Image.fromarray(picture(30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif, icc_profile=b"not really a profile")
    kept = vqc.decode(vqc.encode(file.getvalue()))
    assert kept.content.orientation == 6 and kept.image.getexif()[0x010E] == "a description"
    assert kept.metadata["icc"] == b"not really a profile"
    bare = vqc.decode(vqc.encode(file.getvalue(), strip=True))
    assert bare.metadata == {} and bare.content.orientation == 6


def test_threads_may_encode_and_decode_at_once():
    originals = [picture(60 + 4 * i, 80, seed=i) for i in range(6)]
    alone = [vqc.decode(vqc.encode(p)).pixels for p in originals]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: vqc.decode(vqc.encode(p)).pixels, originals))
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(alone, together, strict=True))


def test_decoding_needs_no_encoder_weights(monkeypatch, tmp_path):
    from vqc.models import weights

    data = vqc.encode(picture(32, 32))
    monkeypatch.setattr(weights, "_encoder", lambda *_: pytest.fail("the encoder was loaded"))
    vqc.decode(data)


@pytest.mark.parametrize(
    "arguments", [{"quality": 101}, {"quality": -1}, {"bpp": 1, "target_size": 9}, {"device": "abacus"}, {"threads": 0}]
)
def test_senseless_arguments_are_refused(arguments):
    with pytest.raises(ValueError):
        vqc.encode(picture(16, 16), **arguments)


def test_files_stay_within_one_percent_of_the_cross_entropy():
    """Payload against what the tables say the symbols cost, beside the fixed cost of a file."""
    from vqc.image_decoding import load_image_decoder
    from vqc.latent_coding import table_set

    data = vqc.encode(picture(256, 256), quality=60)
    reader = Reader(io.BytesIO(data))
    decoder = load_image_decoder(reader.header, CPU)
    tables = table_set(decoder)
    (segment,) = reader.segments()
    from vqc.bitstream import SymbolDecoder

    source, steps, bits = SymbolDecoder(tables, segment.payload), decoder.entropy.steps(16, 16, 600), 0.0
    step = next(steps)
    while True:
        symbols = source.read(step.table_ids)
        for table in np.unique(step.table_ids):
            if tables.size[table] > 1:
                widths = np.diff(tables.cumulative(table).astype(float))
                entries = symbols[step.table_ids == table] - tables.low[table]
                beyond = np.maximum(-entries, entries - (len(widths) - 2))
                entries[beyond > 0] = len(widths) - 1
                bits += (2 * np.floor(np.log2(2 * beyond[beyond > 0])) + 1).sum()  # class and plain bits of an escape
                bits -= np.log2(widths[entries] / 2**24).sum()
        try:
            step = steps.send(symbols)
        except StopIteration:
            break
    assert len(segment.payload) * 8 <= bits * 1.01 + 32


def test_pixels_of_a_whole_file_do_not_depend_on_reading_by_index_or_in_order():
    data = tiled(Pixels(picture(100, 130)))
    reader = Reader(io.BytesIO(data))
    in_order = TileDecoder(reader, None, CPU, False).decode().colour
    assert np.array_equal(in_order, vqc.decode(data).pixels)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_caller_s_autocast_changes_nothing(dtype):
    original = picture(64, 80)
    plain = vqc.encode(original)
    with torch.autocast("cpu", dtype=dtype):
        assert vqc.encode(original) == plain
        decoded = vqc.decode(plain).pixels
    assert np.abs(decoded.astype(int) - vqc.decode(plain).pixels).max() <= 1


def test_a_caller_s_default_dtype_changes_nothing():
    from vqc.models import weights

    original = picture(48, 48)
    plain = vqc.encode(original)
    torch.set_default_dtype(torch.float64)
    try:
        weights._encoder.cache_clear()
        weights._decoder.cache_clear()
        assert vqc.encode(original) == plain
        assert vqc.decode(plain).pixels.shape == (48, 48, 3)
    finally:
        torch.set_default_dtype(torch.float32)


def rewritten(data, change):
    """The file with its list of segments changed."""
    reader = Reader(io.BytesIO(data))
    file = io.BytesIO()
    writer = Writer(file, reader.header)
    for segment in change(list(reader.segments())):
        writer.segment(segment)
    writer.close()
    return file.getvalue()


def test_segments_in_another_order_decode_from_a_file():
    pixels = picture(130, 130, 4)
    data = tiled(Pixels(pixels[..., :3], pixels[..., 3]))
    backwards = rewritten(data, lambda segments: segments[::-1])
    assert np.array_equal(vqc.decode(backwards).pixels, vqc.decode(data).pixels)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "alpha",
    [
        png(np.zeros((40, 40, 3), np.uint8)),
        png(np.full((40, 40), 40000, np.uint16)),
        png(np.zeros((41, 40), np.uint8)),
        png(np.zeros((40, 40), np.uint8))[:16] + b"\0\0\x75\x30\0\0\x75\x30" + png(np.zeros((40, 40), np.uint8))[24:],
        png(np.zeros((40, 40), np.uint8))[:50],
        b"",
    ],
    ids=["colour", "16 bit", "other size", "bomb", "cut", "empty"],
)
def test_an_alpha_channel_that_is_not_what_it_should_be_is_corrupt(alpha):
    data = rewritten(
        vqc.encode(picture(40, 40, 4)),
        lambda segments: [s if s.plane == 0 else dataclasses.replace(s, payload=alpha) for s in segments],
    )
    with pytest.raises(VqcError, match="alpha of tile 0"):
        vqc.decode(data)
    assert not vqc.verify(data).ok
    partial = vqc.decode(data, allow_partial=True)
    assert partial.damage
    assert (partial.pixels[..., 3] == 255).all()  # the colours are whole and shall be seen


def test_a_region_does_not_mind_damage_elsewhere():
    pixels = picture(64, 192, 4)
    data = tiled(Pixels(pixels[..., :3], pixels[..., 3]))
    damaged = rewritten(
        data, lambda segments: [dataclasses.replace(s, payload=b"no") if (s.number, s.plane) == (1, 1) else s for s in segments]
    )
    assert vqc.decode(damaged, region=(0, 0, 60, 60)).pixels.shape == (60, 60, 4)


def test_inspect_tells_of_a_file_with_a_damaged_tile():
    data = bytearray(tiled(Pixels(picture(128, 128))))
    entry = Reader(io.BytesIO(bytes(data))).index()[2]
    data[entry.offset + entry.size // 2] ^= 1
    assert vqc.inspect(bytes(data)).segments == 4


def test_metadata_beyond_the_limit_is_not_written():
    content = Image.fromarray(picture(16, 16))
    content.info["xmp"] = b"x" * 5000
    with pytest.raises(VqcError, match="metadata"):
        vqc.encode(content, limits=Limits(metadata=4000))


def test_text_files_are_refused_in_words():
    with pytest.raises(TypeError, match="binary"):
        vqc.decode(io.StringIO("text"))


@pytest.mark.parametrize(
    "payload",
    [lambda data: b"\xff" * len(data), lambda data: data[:-8], lambda data: data + b"\1"],
    ids=["other", "cut", "long"],
)
def test_symbols_that_do_not_decode_are_told_with_their_tile(payload):
    data = tiled(Pixels(picture(64, 130)))
    forged = rewritten(data, lambda s: [s[0], dataclasses.replace(s[1], payload=payload(s[1].payload)), s[2]])
    with pytest.raises(Corrupt, match="tile 1: "):
        vqc.decode(forged)
    assert [damage.message[:7] for damage in vqc.verify(forged).damage] == ["tile 1:"]
