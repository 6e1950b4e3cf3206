import pytest

from vqc.bitstream import LimitExceeded, Limits


def test_a_limit_is_inclusive():
    limits = Limits(side=10)
    limits.check("side", 10)
    with pytest.raises(LimitExceeded, match="11 side: the limit is 10"):
        limits.check("side", 11, 3, "header")


def test_without_limits_anything_goes():
    for name in ("pixels", "side", "chunk", "metadata", "segments"):
        Limits.none().check(name, 2**62)
