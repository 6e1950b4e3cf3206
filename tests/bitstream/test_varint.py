import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqc.bitstream import Corrupt
from vqc.bitstream.cursor import Cursor, is_name, pack_ascii
from vqc.bitstream.varint import MAX_VARINT, pack_varint


@given(st.integers(0, MAX_VARINT))
def test_every_number_comes_back_from_the_fewest_bytes(value):
    packed = pack_varint(value)
    cursor = Cursor(packed)
    assert cursor.varint() == value
    cursor.end()
    assert len(packed) == max(1, -(-value.bit_length() // 7))


@given(st.binary(max_size=12))
def test_what_reads_as_a_number_is_written_the_same_way(data):
    cursor = Cursor(data)
    try:
        value = cursor.varint()
    except Corrupt:
        return
    assert data[: cursor.position] == pack_varint(value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x00", "longer than it need be"),
        (b"\xff" * 9 + b"\x01", "longer than 9 bytes"),
        (b"\x80", "1 bytes are needed, 0 are left"),
        (b"", "1 bytes are needed"),
    ],
)
def test_malformed_numbers_are_corrupt_and_say_where(data, message):
    with pytest.raises(Corrupt, match=message) as caught:
        Cursor(data, 100, "index").varint()
    assert caught.value.chunk == "index"
    assert 100 <= caught.value.offset <= 100 + len(data)


@pytest.mark.parametrize("value", [-1, MAX_VARINT + 1])
def test_numbers_without_a_place_are_refused(value):
    with pytest.raises(ValueError, match="outside"):
        pack_varint(value)


@given(st.text(max_size=20))
def test_names_come_back_or_are_refused(text):
    if is_name(text, 16):
        assert Cursor(pack_ascii(text, 16)).ascii(16) == text
    else:
        with pytest.raises(ValueError, match="not a name"):
            pack_ascii(text, 16)


@given(st.binary(max_size=20))
def test_what_reads_as_a_name_is_written_the_same_way(data):
    cursor = Cursor(data)
    try:
        text = cursor.ascii(16)
    except Corrupt:
        return
    assert pack_ascii(text, 16) == data[: cursor.position]


def test_bytes_left_over_are_corrupt():
    cursor = Cursor(b"abc", 10, "metadata")
    cursor.take(1)
    with pytest.raises(Corrupt, match="2 bytes are left over") as caught:
        cursor.end()
    assert caught.value.offset == 11
