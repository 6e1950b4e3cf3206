"""Results in compressai's shape: those that other tools wrote are read, anything else is refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqc.tools.rd.picture_metrics import METRICS
from vqc.tools.rd.results import Results, is_kodak, published_kodak, read_results

GOOD = {"name": "codec", "description": "d", "results": {"bpp": [0.1, 0.2], "psnr-rgb": [30, 33.5], "ms-ssim-rgb": [0.9, 0.95]}}


def read(document) -> list[Results]:
    return read_results(json.dumps(document).encode(), "file.json")


def test_one_object_a_list_of_them_and_bare_lists_are_read():
    for document in (GOOD, [GOOD], GOOD["results"], {"results": GOOD["results"]}):
        (found,) = read(document)
        curve = found.curve(METRICS["psnr"])
        assert (curve.rate, curve.quality) == ((0.1, 0.2), (30, 33.5))
        assert found.curve(METRICS["ms-ssim"]).quality == pytest.approx((10, 13.0103), abs=1e-4)
        assert found.curve(METRICS["ssimulacra2"]) is None


def test_older_keys_without_the_colour_space_are_read():
    (found,) = read({"results": {"bpp": [1], "psnr": [30]}})
    assert found.curve(METRICS["psnr"]).quality == (30,)


def test_what_is_written_is_read_again():
    (found,) = read(GOOD)
    (again,) = read(found.document())
    assert again == found


@pytest.mark.parametrize(
    "document",
    [
        5,
        [5],
        {},
        {"results": []},
        {"results": {"psnr-rgb": [1]}},
        {"results": {"bpp": [1]}},
        {"results": {"bpp": [1], "psnr-rgb": [1, 2]}},
        {"results": {"bpp": ["1"], "psnr-rgb": [1]}},
        {"results": {"bpp": [True], "psnr-rgb": [1]}},
        {"results": {"bpp": [1], "ms-ssim-rgb": [12.5]}},
    ],
)
def test_anything_else_is_refused_naming_the_file(document):
    with pytest.raises(ValueError, match=r"file\.json"):
        read(document)


@given(st.binary(max_size=60))
def test_any_bytes_are_results_or_a_value_error(data):
    try:
        assert all(isinstance(found, Results) for found in read_results(data, "file.json"))
    except ValueError as error:
        assert "file.json" in str(error)


KEYS = st.sampled_from(["results", "bpp", "psnr-rgb", "name"])
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_results_with_usable_curves_or_a_value_error(document):
    try:
        found = read(document)
    except ValueError:
        return
    for results in found:
        results.curve(METRICS["psnr"])


def test_the_published_kodak_curves_hold_vtm_bpg_and_the_models_of_compressai():
    names = {results.name: results for results in published_kodak()}
    for word in ("VTM", "BPG", "bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-anchor", "elic2022"):
        assert any(word in name for name in names), word
    assert all("published" in name and "results/image/kodak" in results.description for name, results in names.items())
    vtm = names["VTM (published)"].curve(METRICS["psnr"])
    assert len(vtm.rate) == 8 and vtm.dropped == 0


def test_the_kodak_set_is_told_by_all_its_names():
    names = [f"kodim{n:02}" for n in range(1, 25)]
    assert is_kodak(names)
    assert not is_kodak(names[:-1]) and not is_kodak([*names, "other"])
