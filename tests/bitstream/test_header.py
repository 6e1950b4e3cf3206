import dataclasses
import zlib

import pytest
from bitstream_strategies import headers
from hypothesis import given
from hypothesis import strategies as st

from vqc.bitstream import (
    VERSION,
    Corrupt,
    ImageHeader,
    LimitExceeded,
    Limits,
    NotVqc,
    Truncated,
    UnsupportedVersion,
    VqcError,
    unpack_header,
)
from vqc.bitstream.header import SIGNATURE

HEADER = ImageHeader("img1", bytes(8), 1, 768, 512)
MEDIUM, FORM = 11, 30


def sealed(head: bytearray) -> bytes:
    """A head with its CRC-32 made to fit again."""
    return bytes(head[:-4]) + zlib.crc32(head[:-4]).to_bytes(4, "little")


@given(headers)
def test_headers_come_back(header):
    assert unpack_header(header.pack(), Limits.none()) == header


@given(st.binary(max_size=60))
def test_garbage_raises_nothing_but_vqc_errors(data):
    for head in (data, SIGNATURE + data, SIGNATURE + bytes([1, 1, len(data)]) + data):
        with pytest.raises(VqcError):
            unpack_header(head)


@given(st.binary(max_size=60))
def test_garbage_with_a_fitting_crc_is_a_header_or_a_vqc_error(fields):
    head = sealed(bytearray(SIGNATURE + bytes([1, 1, len(fields)]) + fields + bytes(4)))
    try:
        header = unpack_header(head)
    except VqcError:
        return
    assert header.pack() == head


def test_every_change_of_a_byte_is_found():
    head = HEADER.pack()
    for position in range(len(head)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(head)
            changed[position] ^= flip
            with pytest.raises(VqcError):
                unpack_header(bytes(changed))


def test_every_truncation_is_named():
    head = HEADER.pack()
    for length in range(len(head)):
        with pytest.raises(Truncated if length >= len(SIGNATURE) else NotVqc):
            unpack_header(head[:length])


def test_an_empty_input_is_called_empty():
    with pytest.raises(NotVqc, match="the input is empty"):
        unpack_header(b"")


def test_a_newer_version_is_named_beside_ours():
    head = bytearray(HEADER.pack())
    head[8], head[9] = 9, 7
    with pytest.raises(UnsupportedVersion, match=f"format version 7; this one reads up to version {VERSION}"):
        unpack_header(sealed(head))


def test_a_file_of_a_newer_writer_that_needs_no_newer_reader_is_read():
    head = bytearray(HEADER.pack())
    head[8] = 9
    assert unpack_header(sealed(head)) == HEADER


def test_an_unknown_medium_is_unsupported_and_names_the_versions():
    head = bytearray(HEADER.pack())
    head[8], head[MEDIUM] = 5, 9
    with pytest.raises(UnsupportedVersion, match=rf"medium 9 .* format version {VERSION}; the file was written by version 5"):
        unpack_header(sealed(head))


@pytest.mark.parametrize("bit", [0x40, 0x80])
def test_a_wrong_limits_class_and_reserved_bits_are_corrupt(bit):
    head = bytearray(HEADER.pack())
    assert head[FORM] == 0x02
    head[FORM] |= bit
    with pytest.raises(Corrupt, match=r"limits class 1 does not fit 768x512|reserved bits"):
        unpack_header(sealed(head))


def test_sizes_above_the_limits_are_refused_by_name():
    wide = dataclasses.replace(HEADER, width=2**18 + 1, height=1)
    large = dataclasses.replace(HEADER, width=2**14 + 1, height=2**14)
    assert (HEADER.limits_class, wide.limits_class, large.limits_class) == (0, 1, 1)
    with pytest.raises(LimitExceeded, match="side"):
        unpack_header(wide.pack())
    with pytest.raises(LimitExceeded, match="pixels"):
        unpack_header(large.pack())
    assert unpack_header(large.pack(), Limits.none()) == large


@pytest.mark.parametrize(
    "change",
    [
        {"model": "much too long a name"},
        {"model": "bär"},
        {"model": ""},
        {"weights": bytes(7)},
        {"profile": -1},
        {"width": 0},
        {"height": 2**31},
        {"depth": 12},
        {"channels": 4},
        {"orientation": 0},
        {"quality": 1001},
        {"tile": 3},
    ],
)
def test_values_without_a_place_are_refused_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(HEADER, **change).pack()
