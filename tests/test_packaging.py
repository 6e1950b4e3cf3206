"""What a user gets from `pip install`: one version, packages that are all listed, commands that resolve, a light import."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]
ENTRY_POINTS = [e for e in distribution("vqc").entry_points if e.group in ("console_scripts", "vqc.commands")]
RUN_VQC = "import vqc.cli; assert vqc.cli.main() == 0"
HEAVY = ("torch", "PIL", "av", "soundfile", "scipy", "compressai")


def sources() -> list[Path]:
    return [path for folder in FOLDERS.values() for path in (ROOT / folder).rglob("*.py")]


def modules_after(code: str, *arguments: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `code`, run with the command line `arguments`."""
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT / "tests")
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def test_the_installed_version_is_that_of_the_source():
    import vqc
    from vqc.version import __version__

    assert version("vqc") == __version__ == vqc.__version__


def test_the_changelog_knows_the_version_or_has_unreleased_changes():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {version('vqc')}" in text or "## Unreleased" in text


def test_every_package_in_the_tree_is_listed():
    found = set()
    for name, folder in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join((name, *init.parent.relative_to(ROOT / folder).parts)))
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_module_of_the_codec_has_its_place_in_the_layers():
    layers = ":".join(PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]).replace("|", ":")
    codec = {path.stem for path in (ROOT / "codec").glob("*.py")} - {"__init__"}
    codec |= {path.parent.name for path in (ROOT / "codec").glob("*/__init__.py")}
    assert {name.strip() for name in layers.split(":")} == codec | {"bitstream", "models", "tools"}


def test_package_data_is_there():
    missing = [
        f"{package}: {pattern}"
        for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        if not any((ROOT / FOLDERS[package]).glob(pattern))
    ]
    assert not missing


@pytest.mark.parametrize("entry", ENTRY_POINTS, ids=lambda entry: entry.name)
def test_every_entry_point_resolves_to_something_to_call(entry):
    assert callable(entry.load())


def test_installed_entry_points_are_those_of_pyproject():
    declared = {("console_scripts", name, value) for name, value in PROJECT["project"]["scripts"].items()}
    declared |= {("vqc.commands", name, value) for name, value in PROJECT["project"]["entry-points"]["vqc.commands"].items()}
    assert {(e.group, e.name, e.value) for e in ENTRY_POINTS} == declared


def test_import_vqc_loads_nothing_heavy():
    assert not modules_after("import vqc") & {*HEAVY, "numpy"}


def test_help_loads_nothing_heavy():
    assert not modules_after(RUN_VQC, "--help") & set(HEAVY)


def test_info_loads_no_torch(tmp_path):
    import numpy as np

    import vqc

    file = tmp_path / "small.vqc"
    file.write_bytes(vqc.encode(np.full((8, 8, 3), 128, np.uint8)))
    assert "torch" not in modules_after(RUN_VQC, "info", str(file))


def test_bitstream_works_without_torch():
    modules = [f"vqc.bitstream.{path.stem}" for path in (ROOT / "bitstream").glob("[!_]*.py")]
    assert "torch" not in modules_after("\n".join(f"import {name}" for name in modules))


def test_every_module_imports():
    for name, folder in FOLDERS.items():
        for path in (ROOT / folder).glob("[!_]*.py"):
            importlib.import_module(f"{name}.{path.stem}")


def test_no_file_is_longer_than_500_lines():
    long = {str(path.relative_to(ROOT)): n for path in sources() if (n := len(path.read_text().splitlines())) > 500}
    assert not long


def test_constraints_meet_the_ranges():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = {pin.name: next(iter(pin.specifier)).version for pin in map(Requirement, lines)}
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [Requirement(line) for lines in (PROJECT["project"]["dependencies"], *extras) for line in lines]
    assert not [str(r) for r in wanted if r.name != "vqc" and not r.specifier.contains(pins[r.name])]
