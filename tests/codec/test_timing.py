"""Spans add up while someone collects, each second once, and only in the thread that collects."""

from __future__ import annotations

import threading
import time

import pytest

from vqc.timing import collect, span


def test_spans_of_one_name_are_summed_and_counted():
    with collect() as times:
        for _ in range(3):
            with span("coder"):
                time.sleep(0.01)
    assert times.calls == {"coder": 3}
    assert 0.03 <= times.seconds["coder"] < 0.1


def test_a_second_counts_once_in_the_innermost_span():
    start = time.perf_counter()
    with collect() as times, span("io"):
        time.sleep(0.01)
        with span("coder"):
            time.sleep(0.03)
    whole = time.perf_counter() - start
    assert times.seconds["coder"] >= 0.03
    assert 0.01 <= times.seconds["io"] < 0.03
    assert sum(times.seconds.values()) <= whole


def test_a_failing_span_counts_and_passes_its_error_on():
    with collect() as times, pytest.raises(ValueError), span("coder"):
        raise ValueError
    assert times.calls == {"coder": 1}


def test_nothing_is_collected_outside_the_block():
    with collect() as times:
        pass
    with span("coder"):
        pass
    assert not times.seconds


def test_collectors_nest_and_the_inner_one_takes_the_spans():
    with collect() as outer:
        with collect() as inner, span("a"):
            pass
        with span("b"):
            pass
    assert (set(inner.seconds), set(outer.seconds)) == ({"a"}, {"b"})


def test_another_thread_does_not_see_the_collector():
    def work():
        with span("elsewhere"):
            pass

    with collect() as times:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert not times.seconds


def test_an_idle_span_costs_next_to_nothing():
    def spans(n: int) -> float:
        start = time.perf_counter()
        for _ in range(n):
            with span("coder"):
                pass
        return (time.perf_counter() - start) / n

    assert min(spans(1000) for _ in range(20)) < 5e-6
