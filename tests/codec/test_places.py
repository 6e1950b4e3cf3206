"""Encode and decode between the places of a store, by URL."""

from __future__ import annotations

import uuid

import pytest
from click.testing import CliRunner
from PIL import Image

from vqc.cli import vqc
from vqc.places import is_url

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def store():
    """A store in memory: its file system and the URL of an empty folder."""
    return fsspec.filesystem("memory"), f"memory://{uuid.uuid4().hex}"


def run(*arguments, code=0):
    done = CliRunner().invoke(vqc, [*map(str, arguments), "--quiet"])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for place, colour in (("a.png", "red"), ("deep/b.png", "blue")):
        Image.new("RGB", (24, 16), colour).save(tmp_path / "in" / place)
    return tmp_path / "in"


def test_urls_are_told_from_paths():
    assert is_url("s3://bucket/key") and is_url("memory://x")
    assert not any(map(is_url, ("/tmp/a", "C:\\a", "c://a", "a:b", "-", "folder/x://y")))


def test_folders_keep_their_subfolders_between_stores_and_disks(store, pictures, tmp_path):
    memory, url = store
    memory.put(f"{pictures}/", url + "/in/", recursive=True)
    run("encode", f"{url}/in", "-o", f"{url}/coded")
    run("encode", pictures, "-o", tmp_path / "coded")
    for place in ("a.vqc", "deep/b.vqc"):
        assert memory.cat(f"{url}/coded/{place}") == (tmp_path / "coded" / place).read_bytes()
    run("decode", f"{url}/coded", "-o", tmp_path / "decoded")
    with Image.open(tmp_path / "decoded" / "deep" / "b.png") as picture:
        assert picture.size == (24, 16)


def test_one_file_goes_beside_its_source_and_is_not_overwritten(store, pictures):
    memory, url = store
    memory.put(str(pictures / "a.png"), f"{url}/a.png")
    run("encode", f"{url}/a.png")
    before = memory.cat(f"{url}/a.vqc")
    assert "exists already" in run("encode", f"{url}/a.png", code=1)
    run("encode", f"{url}/a.png", "-q", "5", "-f")
    assert memory.cat(f"{url}/a.vqc") != before


def test_a_source_that_is_not_there_leaves_no_output(store):
    memory, url = store
    assert "nothing.png" in run("encode", f"{url}/nothing.png", code=1)
    assert not memory.exists(f"{url}/nothing.vqc")
