import subprocess
import sys

CODE = "import sys, {module}; print(sorted({{'torch', 'numpy', 'constriction'}} & set(sys.modules)))"


def imported_by(module: str) -> str:
    return subprocess.run([sys.executable, "-c", CODE.format(module=module)], capture_output=True, text=True, check=True).stdout


def test_reading_headers_needs_no_library_beside_pythons_own():
    assert imported_by("vqc.bitstream") == "[]\n"


def test_the_coder_does_not_know_torch():
    assert "torch" not in imported_by("vqc.bitstream.range_coder")
