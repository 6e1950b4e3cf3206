"""Work shared out among processes."""

import os
import subprocess
import sys
import time

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


def test_results_come_in_order_and_other_processes_take_part():
    found = list(shared_out(squared_slowly, range(60), 2))
    assert [square for square, _ in found] == [n**2 for n in range(60)]
    assert {process == HERE for _, process in found} == {True, False}


def test_an_error_comes_through_after_the_results_before_it():
    results = shared_out(fails_at_three, range(20), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_what_a_killed_process_leaves_is_done_here():
    assert list(shared_out(dies_elsewhere, range(40), 2)) == [-n for n in range(40)]
    assert list(shared_out(squared_slowly, range(2), 2))[1][0] == 1  # the next call has processes again


def test_a_call_that_ends_the_processes_of_another_thread_does_not_stop_it():
    results = shared_out(squared_slowly, range(60), 2)
    found = [next(results)]
    while found[-1][1] == HERE:  # until another process takes part
        found.append(next(results))
    _processes(1).shutdown(kill_workers=True)
    assert [square for square, _ in [*found, *results]] == [n**2 for n in range(60)]


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
