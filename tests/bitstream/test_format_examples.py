"""The examples of FORMAT.md are read from the page itself and run."""

import io
import json
import re
from importlib import resources

import numpy as np
import pytest
from reference_coder import ReferenceDecoder, intervals

from vqc.bitstream import (
    AudioHeader,
    Chunk,
    CopiedSound,
    ImageHeader,
    Reader,
    Segment,
    SymbolDecoder,
    SymbolEncoder,
    TableSet,
    VideoHeader,
    Writer,
)
from vqc.bitstream.cursor import Cursor
from vqc.bitstream.varint import pack_varint

PAGE = resources.files("vqc.bitstream").joinpath("FORMAT.md").read_text("utf-8")
BLOCKS = {
    (kind, name): body for kind, name, body in re.findall(r"^```(hex|json) (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
}
FILES = [name for kind, name in BLOCKS if kind == "hex"]


def hex_of(name: str) -> bytes:
    """The bytes of a block: pairs of digits up to the first two blanks of each line; behind them stands what they mean."""
    return b"".join(bytes.fromhex(line.split("  ")[0]) for line in BLOCKS["hex", name].splitlines())


def test_the_page_has_its_examples():
    assert FILES == ["one-segment", "two-tiles", "sound", "video", "copied-sound"]
    assert {name for kind, name in BLOCKS if kind == "json"} == {"varint", "symbols", *FILES}


def header_of(fields):
    """The header that an example describes."""
    values = {name: bytes.fromhex(value) if name.endswith("weights") else value for name, value in fields.items()}
    if "group" in fields:
        return VideoHeader(**values | {"sound": header_of(fields["sound"])})
    if "codec" in fields:
        return CopiedSound(**values)
    return (AudioHeader if "span" in fields else ImageHeader)(**values)


@pytest.mark.parametrize("name", FILES)
def test_a_file_reads_as_the_page_says(name):
    expected = json.loads(BLOCKS["json", name])
    reader = Reader(io.BytesIO(hex_of(name)))
    found = [[s.number, s.plane, s.payload.hex(), f"{s.digest:08x}"] for s in reader.segments()]
    assert reader.header == header_of(expected["header"])
    assert {kind: data.hex() for kind, data in reader.metadata.items()} == expected["metadata"]
    assert [[chunk.kind, chunk.payload.hex()] for chunk in reader.unknown] == expected["unknown"]
    assert found == expected["segments"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_written_as_the_page_says(name):
    expected = json.loads(BLOCKS["json", name])
    file = io.BytesIO()
    writer = Writer(file, header_of(expected["header"]))
    for kind, data in expected["metadata"].items():
        writer.metadata(kind, bytes.fromhex(data))
    for kind, data in expected["unknown"]:
        writer.ancillary(Chunk(kind, bytes.fromhex(data)))
    for number, plane, payload, digest in expected["segments"]:
        writer.segment(Segment(number, plane, bytes.fromhex(payload), int(digest, 16)))
    writer.close()
    assert file.getvalue() == hex_of(name)


def test_varints_are_as_the_page_says():
    for value, digits in json.loads(BLOCKS["json", "varint"]).items():
        assert pack_varint(int(value)) == bytes.fromhex(digits)
        assert Cursor(bytes.fromhex(digits)).varint() == int(value)


def test_symbols_are_coded_as_the_page_says():
    example = json.loads(BLOCKS["json", "symbols"])
    tables = TableSet(*(np.array(example[key]) for key in ("low", "size", "counts")))
    payload = bytes.fromhex(example["payload"])
    ends = np.cumsum(example["size"])
    plain = [
        (low, example["counts"][end - size : end])
        for low, size, end in zip(example["low"], example["size"], ends.tolist(), strict=True)
    ]
    assert [tables.cumulative(table).tolist() for table in range(len(tables))] == example["cumulative"]
    assert [intervals(counts) for _, counts in plain] == example["cumulative"]
    encoder, decoder, reference = SymbolEncoder(tables), SymbolDecoder(tables, payload), ReferenceDecoder(plain, payload)
    for call in example["calls"]:
        ids = np.array(call["table_ids"], np.uint8)
        encoder.write(np.array(call["symbols"], np.int32), ids)
        assert decoder.read(ids).tolist() == call["symbols"] == reference.decode(call["table_ids"])
    decoder.finish()
    assert encoder.finish() == payload
    assert f"{encoder.digest:08x}" == f"{decoder.digest:08x}" == example["digest"]
    assert reference.ends_well()
