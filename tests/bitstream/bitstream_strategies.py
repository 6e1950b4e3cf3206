"""What the property tests of the bitstream draw from."""

from __future__ import annotations

import io

from hypothesis import strategies as st

from vqc.bitstream import AudioHeader, ImageHeader, Limits, Segment, Writer

names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=16)

image_headers = st.builds(
    ImageHeader,
    model=names,
    weights=st.binary(min_size=8, max_size=8),
    profile=st.integers(0, 2**16 - 1),
    width=st.integers(1, Limits().side),
    height=st.integers(1, 1024),
    depth=st.sampled_from([8, 16]),
    channels=st.sampled_from([1, 3]),
    alpha=st.booleans(),
    orientation=st.integers(1, 8),
    quality=st.integers(0, 1000),
    tile=st.integers(5, 11),
)

audio_headers = st.builds(
    AudioHeader,
    model=names,
    weights=st.binary(min_size=8, max_size=8),
    profile=st.integers(0, 2**16 - 1),
    rate=st.integers(8000, 192000),
    samples=st.integers(0, Limits().samples),
    channels=st.sampled_from([1, 2]),
    depth=st.sampled_from([16, 24, 32]),
    quality=st.integers(0, 1000),
    span=st.integers(16, 1024),
)

headers = st.one_of(image_headers, audio_headers)

segments = st.lists(
    st.builds(Segment, st.integers(0, 300), st.integers(0, 3), st.binary(max_size=40), st.integers(0, 2**32 - 1)),
    max_size=6,
    unique_by=lambda segment: (segment.number, segment.plane),
)

metadata = st.dictionaries(names, st.binary(max_size=200), max_size=3)


def write_file(header: ImageHeader, segments: list[Segment], metadata: dict[str, bytes] | None = None) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, header)
    for kind, data in (metadata or {}).items():
        writer.metadata(kind, data)
    for segment in segments:
        writer.segment(segment)
    writer.close()
    return file.getvalue()
