"""Work shared out among processes."""

import os
import subprocess
import sys
import time
from itertools import count, islice

import cloudpickle
import pytest

from vqc.parallel import _processes, shared_out

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # other processes cannot import tests
HERE = os.getpid()


def squared_slowly(number):
    time.sleep(0.2)
    return number**2, os.getpid()


def fails_at_three(number):
    if number == 3:
        raise ValueError("three")
    return number


def dies_elsewhere(number):
    if os.getpid() != HERE:
        os._exit(1)
    time.sleep(0.1)
    return -number


def keeps_memory(number):
    """Of 400 MB in another process, from its second piece of work on."""
    if os.getpid() != HERE:
        kept = vars(os).setdefault("_kept", [])  # this module is another at each call there
        kept.append(bytes(range(256)) * (400 * 2**12 if len(kept) == 1 else 1))
    time.sleep(0.6)
    return os.getpid()


def until_others_take_part():
    """Numbers that go on until another process has done some, and ten more; results so far."""
    results = shared_out(squared_slowly, count(), 2)
    found = [next(results)]
    deadline = time.monotonic() + 120  # they take seconds to start, more on a busy machine
    while found[-1][1] == HERE:
        assert time.monotonic() < deadline
        found.append(next(results))
    return found, results


def test_results_come_in_order_and_other_processes_take_part():
    found, results = until_others_take_part()
    found += islice(results, 10)
    assert [square for square, _ in found] == [n**2 for n in range(len(found))]


def test_an_error_comes_through_after_the_results_before_it():
    results = shared_out(fails_at_three, range(20), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_what_a_killed_process_leaves_is_done_here():
    assert list(shared_out(dies_elsewhere, range(40), 2)) == [-n for n in range(40)]
    assert list(shared_out(squared_slowly, range(2), 2))[1][0] == 1  # the next call has processes again


def test_a_process_that_keeps_memory_goes_on():
    """Found as an encoder at half its speed, and a warning: loky took the memory for a leak and started the process anew."""
    pytest.importorskip("psutil")  # without it loky does not look
    until_others_take_part()[1].close()
    others = (process for process in shared_out(keeps_memory, count(), 2) if process != HERE)
    assert len(set(islice(others, 6))) == 1


def test_a_call_that_ends_the_processes_of_another_thread_does_not_stop_it():
    found, results = until_others_take_part()
    _processes(1).shutdown(kill_workers=True)
    found += islice(results, 10)
    assert [square for square, _ in found] == [n**2 for n in range(len(found))]


def test_a_program_needs_no_guard_and_ends_soon(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, operator\nfrom vqc.parallel import _processes, shared_out\nprint('begun')\n"
        "print(sum(shared_out(operator.neg, range(100), 3)))\n"
    )
    begin = time.monotonic()
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("begun\n-4950\n", 0), done.stderr
    assert time.monotonic() - begin < 60


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="where processes are looked up")
def test_no_process_outlives_a_program_that_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os\nfrom itertools import repeat\nfrom vqc.parallel import shared_out\n"
        "for process in shared_out(eval, repeat('__import__(\"os\").getpid()'), 2):\n"
        "    if process != os.getpid():\n        print(process, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as running:
        other = int(running.stdout.readline())
        running.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and alive(other):
        time.sleep(0.2)
    assert not alive(other)


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"  # one that nobody waited for is dead all the same
    except FileNotFoundError:
        return False
