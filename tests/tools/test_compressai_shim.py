"""compressai imports beside any build of torch, or its absence is a message."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vqc.tools import compressai_shim
from vqc.tools.compressai_shim import CompressaiMissing, import_compressai


def test_it_imports_in_a_fresh_interpreter_with_its_zoo():
    program = "from vqc.tools.compressai_shim import import_compressai as load; print(sorted(load().zoo.image_models))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if "compressai is not installed" in done.stderr:
        pytest.skip("compressai is not installed")
    assert done.returncode == 0, done.stderr
    assert "mbt2018-mean" in done.stdout


@pytest.mark.parametrize("package", ["torchvision", "compressai"])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch, package):
    def no_module(name):
        raise ModuleNotFoundError(f"No module named '{package}'")

    monkeypatch.setattr(compressai_shim.importlib, "import_module", no_module)
    with pytest.raises(CompressaiMissing, match=rf'pip install "vqc\[rd\]".*{package}'):
        import_compressai.__wrapped__()


def test_other_faults_of_torchvision_are_not_hidden(monkeypatch):
    def broken(name):
        raise RuntimeError("something else")

    monkeypatch.setattr(compressai_shim.importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="something else"):
        import_compressai.__wrapped__()
