from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_coder import intervals

from vqc.bitstream import TableSet
from vqc.bitstream.tables import TOTAL


def table_set(*tables: tuple[int, list[int]]) -> TableSet:
    low = np.array([low for low, _ in tables])
    return TableSet(low, np.array([len(counts) for _, counts in tables]), np.concatenate([counts for _, counts in tables]))


@given(st.lists(st.integers(1, 2**18), min_size=1, max_size=64))
def test_intervals_follow_the_formula_and_none_is_empty(counts):
    borders = table_set((0, [1]), (-5, counts)).cumulative(1).tolist()
    assert borders == intervals(counts)
    assert borders[0] == 0 and borders[-1] == TOTAL
    assert all(a < b for a, b in pairwise(borders))


@pytest.mark.parametrize("counts", [[TOTAL - 2, 1, 1], [1, TOTAL - 1], [1] * 3000, [1, 2**20, 1]])
def test_extreme_tables_have_no_empty_interval(counts):
    assert (np.diff(table_set((0, counts)).cumulative(0)) > 0).all()


def test_a_model_is_built_once():
    tables = table_set((0, [1, 2, 3]))
    assert tables.model(0) is tables.model(0)


@pytest.mark.parametrize(
    ("low", "size", "counts", "message"),
    [
        ([0], [2], [1], "add up to 2, but there are 1 counts"),
        ([0, 1], [2], [1, 1], "2 first symbols, 1 sizes"),
        ([], [], [], "0 first symbols"),
        ([0], [0], [], "size has values outside"),
        ([0], [2], [0, 5], "counts has values outside"),
        ([0, 0], [2, 2], [1, 1, 2**24, 1], "counts of table 1 add up to 16777217"),
        ([2**31 - 2], [4], [1, 1, 1, 1], "beyond 2\\*\\*31 - 1"),
        ([2**31], [1], [1], "low has values outside"),
        ([0.5], [1], [1], "low is an array of float64"),
        ([[0]], [1], [1], "with 2 axes"),
    ],
)
def test_arrays_against_the_rules_are_refused(low, size, counts, message):
    arrays = [np.array(values, np.int64 if len(values) == 0 else None) for values in (low, size, counts)]
    with pytest.raises(ValueError, match=message):
        TableSet(*arrays)
