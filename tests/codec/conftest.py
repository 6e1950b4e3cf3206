"""A picture, the same encoded, and the command line to try on them."""

import numpy as np
import pytest
from PIL import Image

from vqc import cli


@pytest.fixture
def vqc(capsys):
    """Runs `vqc ARGS` in this process; returns exit code, standard output and standard error."""

    def call(*args, program="vqc", command=cli.vqc):
        code = cli.run(command, program, [str(arg) for arg in args])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def photo(tmp_path):
    """A smooth 48x32 picture as PNG."""
    rows, columns = np.mgrid[0:32, 0:48]
    path = tmp_path / "photo.png"
    Image.fromarray(np.stack([rows * 7, columns * 5, rows + columns], axis=-1).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def encoded(photo, vqc):
    """The picture as photo.vqc, beside photo.png."""
    path = photo.with_suffix(".vqc")
    assert vqc("encode", photo, path, "--quiet") == (0, "", "")
    return path
