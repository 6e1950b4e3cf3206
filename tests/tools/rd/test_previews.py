"""Details: where they are, and that every codec shows the same place at about the same size."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from vqc.tools.rd.codecs import make_codecs
from vqc.tools.rd.picture import detail_window
from vqc.tools.rd.previews import choose, details


def test_the_window_is_where_the_detail_is():
    image = np.full((600, 800, 3), 128, np.uint8)
    image[300:500, 450:700] = np.random.default_rng(0).integers(0, 256, (200, 250, 3))
    x, y, width, height = detail_window(image)
    assert (width, height) == (256, 256)
    assert x <= 450 + 6 and x + width >= 700 - 6 and y <= 300 and y + height >= 500


def test_small_pictures_are_shown_whole(picture):
    assert detail_window(picture[:100, :90]) == (0, 0, 90, 100)


def test_details_show_one_place_at_about_one_size(tmp_path, draw):
    image = draw(2, 400, 300)
    Image.fromarray(image).save(tmp_path / "a.png")
    codecs = make_codecs(["jpeg", "webp"], {}, 1)
    (detail,) = details({str(tmp_path / "a.png"): 9000}, codecs, 1, None)
    x, y, width, height = detail_window(image)
    original, *others = detail.crops
    assert (np.asarray(Image.open(io.BytesIO(original.preview.image))) == image[y : y + height, x : x + width]).all()
    assert [crop.label for crop in others] == ["jpeg", "webp"]
    for crop in others:
        assert abs(crop.bytes - 9000) < 700
        assert Image.open(io.BytesIO(crop.preview.image)).size == (width, height)


def test_chosen_files_are_spread_evenly():
    assert choose(list("abcde"), 3) == ["a", "c", "e"]
    assert choose(list("ab"), 5) == ["a", "b"]
    assert choose(list("ab"), 0) == []
