import pickle

import pytest

from vqc.bitstream import Corrupt, LimitExceeded, NotVqc, Truncated, UnsupportedModel, UnsupportedVersion, VqcError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VqcError, 1),
        (NotVqc, 3),
        (Corrupt, 3),
        (Truncated, 3),
        (UnsupportedVersion, 4),
        (UnsupportedModel, 4),
        (LimitExceeded, 5),
    ],
)
def test_every_error_has_its_exit_code(error, code):
    assert error("x").exit_code == code


def test_a_truncated_file_is_a_corrupt_one():
    assert issubclass(Truncated, Corrupt)


def test_the_message_names_chunk_and_byte():
    assert str(Corrupt("the CRC-32 does not match", 42, "index")) == "the CRC-32 does not match (chunk index, byte 42)"
    assert str(Corrupt("empty")) == "empty"
    assert str(Corrupt("early", 0)) == "early (byte 0)"


def test_errors_survive_the_way_between_processes():
    copy = pickle.loads(pickle.dumps(Truncated("early", 7, "segment")))
    assert (type(copy), copy.message, copy.offset, copy.chunk) == (Truncated, "early", 7, "segment")
