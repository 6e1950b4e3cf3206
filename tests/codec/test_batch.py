"""Inputs become jobs, and one job that fails, hangs on or is killed never takes another with it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

from vqc.batch import Job, Outcome, files_in, plan, run_jobs
from vqc.bitstream.errors import Truncated, UnsupportedModel


def copy_in_capitals(job):
    """A stand-in for a codec: small, and able to fail in each way."""
    text = Path(job.source).read_text()
    if "truncated" in text:
        raise Truncated("ends too early", 12, "TILE")
    if "model" in text:
        raise UnsupportedModel("needs model x")
    if "bug" in text:
        raise KeyError("nowhere")
    if "warn" in text:
        warnings.warn("a doubtful\nfile", stacklevel=1)
    if "killed" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    Path(job.target).write_text(text.upper())
    return Outcome(job, {"input": job.source})


@pytest.fixture
def make(tmp_path):
    """Jobs for files of the given contents, in order."""

    def build(*contents):
        jobs = []
        for number, content in enumerate(contents):
            source = tmp_path / f"{number}.in"
            source.write_text(content)
            jobs.append(Job(str(source), str(tmp_path / f"{number}.out")))
        return jobs

    return build


def by_number(outcomes):
    return sorted(outcomes, key=lambda outcome: outcome.job.source)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_bad_file_is_reported_and_the_rest_done(make, workers):
    jobs = make("a", "truncated", "b", "model", "bug")
    outcomes = by_number(run_jobs(copy_in_capitals, jobs, workers))
    assert [outcome.exit_code for outcome in outcomes] == [0, 3, 0, 4, 1]
    assert outcomes[1].problems == ("ends too early (chunk TILE, byte 12)",)
    assert "internal error, KeyError" in outcomes[4].problems[0]
    assert "copy_in_capitals" in outcomes[4].trace, "the traceback of the worker comes along"
    assert outcomes[3].record["error"] == "needs model x"
    assert [Path(job.target).exists() for job in jobs] == [True, False, True, False, False]


def test_worker_killed_by_the_system_costs_its_own_file_only(make):
    jobs = make("a", "b", "killed", "c", "d")
    outcomes = by_number(run_jobs(copy_in_capitals, jobs, 2))
    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 1, 0, 0]
    assert "killed" in outcomes[2].problems[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_warnings_become_lines_of_their_file(make, workers):
    outcomes = by_number(run_jobs(copy_in_capitals, make("warn", "a"), workers))
    assert outcomes[0].problems == ("warning: a doubtful file",)
    assert outcomes[0].exit_code == 0 and outcomes[1].problems == ()


def test_two_inputs_for_one_output_lose_nothing(tmp_path, make):
    first, second = make("a", "b")
    clash = Job(second.source, first.target)
    outcomes = by_number(run_jobs(copy_in_capitals, [first, clash]))
    assert [outcome.exit_code for outcome in outcomes] == [0, 1]
    assert "already that of" in outcomes[1].problems[0] and first.source in outcomes[1].problems[0]
    assert Path(first.target).read_text() == "A"


@pytest.mark.parametrize("name", ["same", "link", "other input"])
def test_an_input_is_never_an_output(tmp_path, make, name):
    first, second = make("a", "b")
    target = {"same": first.source, "link": str(tmp_path / "link"), "other input": second.source}[name]
    (tmp_path / "link").symlink_to(first.source)
    outcomes = by_number(run_jobs(copy_in_capitals, [Job(first.source, target), second]))
    assert [outcome.exit_code for outcome in outcomes] == [1, 0]
    assert "inputs are never overwritten" in outcomes[0].problems[0]
    assert Path(first.source).read_text() == "a" and Path(second.source).read_text() == "b"


def test_folders_keep_their_subfolders_and_take_wanted_files_only(tmp_path):
    for name in ("in/b.png", "in/sub/a.png", "in/notes.txt", "alone.dat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    jobs = plan([str(tmp_path / "in"), str(tmp_path / "alone.dat")], "out", ".vqc", lambda name: name.endswith(".png"))
    assert [os.path.relpath(job.source, tmp_path) for job in jobs] == ["in/b.png", "in/sub/a.png", "alone.dat"]
    assert [job.target for job in jobs] == ["out/b.vqc", "out/sub/a.vqc", "out/alone.vqc"]
    assert all(job.make_folder for job in jobs)


def test_empty_and_odd_inputs_still_become_jobs_that_can_fail_by_name(tmp_path):
    found = list(files_in([str(tmp_path), "missing.png", "", "."], lambda name: False))
    assert [source for source, _ in found] == [str(tmp_path), "missing.png", "", "."]
    assert all(place.name for _, place in found)


def test_folders_that_link_back_are_not_walked_for_ever(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(list(files_in([str(tmp_path)], lambda name: True))) == 1


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_stops_the_workers_and_leaves_no_partial_file(tmp_path, stop):
    script = tmp_path / "slow.py"
    script.write_text(
        textwrap.dedent("""
        import signal, sys, time
        from vqc.batch import Job, Outcome, run_jobs
        from vqc.outputs import open_output

        def work(job):
            with open_output(job.target) as file:
                file.write(b"half")
                file.flush()
                open(job.target + ".started", "w").close()
                time.sleep(60)
            return Outcome(job, {})

        if __name__ == "__main__":
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it
            try:
                list(run_jobs(work, [Job(str(n), sys.argv[1] + str(n)) for n in range(6)], 2))
            except KeyboardInterrupt:
                sys.exit(130)
        """)
    )
    with subprocess.Popen([sys.executable, str(script), str(tmp_path / "out")], start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.started"))) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        # To the whole group for SIGINT, as a terminal does.
        (os.killpg if stop == signal.SIGINT else os.kill)(process.pid, stop)
        try:
            assert process.wait(timeout=20) == (130 if stop == signal.SIGINT else 143)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    left = {path.name for path in tmp_path.iterdir()} - {"slow.py"}
    assert len(left) == 2 and all(name.endswith(".started") for name in left), left


@pytest.mark.parametrize(
    ("run", "code"),
    [
        ("batch._prepare_worker(); batch._attempt_in_worker(work, batch.Job('in', sys.argv[1]))", 1),
        ("work(batch.Job('in', sys.argv[1]))", 143),
    ],
    ids=["worker", "alone"],
)
def test_a_second_termination_does_not_cut_short_the_removal(tmp_path, run, code):
    """A process pool that lost one worker to SIGTERM sends SIGTERM to the others once more."""
    script = tmp_path / "twice.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        from vqc import batch, outputs

        def unlink(path, remove=os.unlink):
            os.kill(os.getpid(), signal.SIGTERM)
            remove(path)

        def work(job):
            os.unlink = unlink
            with outputs.open_output(job.target) as file:
                file.write(b"half")
                os.kill(os.getpid(), signal.SIGTERM)

        """)
        + run
    )
    result = subprocess.run([sys.executable, str(script), str(tmp_path / "out")], timeout=60)
    assert result.returncode == code
    assert {path.name for path in tmp_path.iterdir()} == {"twice.py"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_end_when_the_parent_is_killed(tmp_path):
    script = tmp_path / "sleepers.py"
    script.write_text(
        textwrap.dedent("""\
        import os, sys, time
        from pathlib import Path
        from vqc.batch import Job, Outcome, run_jobs

        def work(job):
            Path(job.source).write_text(str(os.getpid()))
            time.sleep(0 if job.source.endswith("short") else 60)
            return Outcome(job, {})

        if __name__ == "__main__":
            list(run_jobs(work, [Job(sys.argv[1] + name) for name in ("/long", "/short")], 2))
        """)
    )
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    try:
        notes = [tmp_path / "long", tmp_path / "short"]
        _wait_for(lambda: all(note.exists() and note.read_text() for note in notes))
    finally:
        process.kill()
        process.wait()
    workers = {note.read_text() for note in notes}
    _wait_for(lambda: not any(_runs(worker) for worker in workers))


def _wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
