"""Tables that are fitted to counts."""

import numpy as np

from vqc.tools.symbol_counts import MOTION_REACH, NEAR, fit_tables, initial_motion_tables, spread


def test_counts_far_from_zero_are_shared_by_both_signs_and_those_about_as_far():
    body = np.zeros(2 * MOTION_REACH + 1)
    body[MOTION_REACH - 3], body[MOTION_REACH + 3], body[MOTION_REACH + 80] = 5, 1, 46
    result = spread(body)
    assert result[MOTION_REACH - 3] == 5 and result[MOTION_REACH + 3] == 1  # near 0 each counts for itself
    assert np.array_equal(result[MOTION_REACH + NEAR + 1 :], result[MOTION_REACH - NEAR - 1 :: -1])
    assert result[MOTION_REACH + 80] == result[MOTION_REACH - 80] == 1  # 23 distances of both signs
    assert (result[MOTION_REACH + 72 : MOTION_REACH + 90] > 0).all() and result[MOTION_REACH + 60] == 0


def test_tables_of_motion_follow_what_was_counted_and_allow_everything():
    tables = [(0, np.ones(1))] * 64 + initial_motion_tables(1)
    counts = [np.zeros(2)] * 64 + [np.zeros(2 * MOTION_REACH + 2)]
    counts[-1][MOTION_REACH + np.array([0, 2])] = 900, 100
    fitted = fit_tables(tables, counts)
    table = fitted["tables.counts"].numpy()[64:]
    assert table.min() > 0 and len(table) == fitted["tables.size"][-1] == 2 * MOTION_REACH + 2
    assert 8.5 < table[MOTION_REACH] / table[MOTION_REACH + 2] < 9.5
