"""A second decoder, written from sections 6 and 7 of FORMAT.md alone: plain Python integers, one symbol at a time."""

from __future__ import annotations


def intervals(counts: list[int]) -> list[int]:
    total = sum(counts)
    return [2**24 * sum(counts[:i]) // total for i in range(len(counts) + 1)]


class ReferenceDecoder:
    """tables: (low, counts) each. decode() takes the table ids of one call and returns its symbols."""

    def __init__(self, tables: list[tuple[int, list[int]]], payload: bytes):
        self.tables = [(low, len(counts), intervals(counts)) for low, counts in tables]
        self.payload = payload
        self.position = 0
        self.range = 2**64 - 1
        self.code = self.next_bytes(8)

    def next_bytes(self, count: int) -> int:
        piece = self.payload[self.position : self.position + count]
        self.position += count
        return int.from_bytes(piece + bytes(count - len(piece)), "big")

    def entry(self, borders: list[int]) -> int:
        scale = self.range >> 24
        quotient = self.code // scale
        assert quotient < 2**24
        entry = max(i for i in range(len(borders) - 1) if borders[i] <= quotient)
        self.code -= scale * borders[entry]
        self.range = scale * (borders[entry + 1] - borders[entry])
        if self.range < 2**32:
            self.range *= 2**32
            self.code = self.code * 2**32 + self.next_bytes(4)
        return entry

    def number(self, bits: int) -> int:
        return self.entry([i * 2 ** (24 - bits) for i in range(2**bits + 1)])

    def decode(self, table_ids: list[int]) -> list[int]:
        symbols = [self.tables[table][0] for table in table_ids]
        escaped = []
        for table, (low, size, borders) in enumerate(self.tables):
            for position in [p for p, t in enumerate(table_ids) if t == table and size > 1]:
                entry = self.entry(borders)
                symbols[position] = low + entry
                if entry == size - 1:
                    escaped.append(position)
        escaped.sort()
        class_borders = intervals([2 ** max(0, 20 - k) for k in range(33)])
        classes = [self.entry(class_borders) for _ in escaped]
        rests = [0] * len(escaped)
        for k in range(1, 33):
            members = [i for i, found in enumerate(classes) if found == k]
            if k > 16:
                for i in members:
                    rests[i] = self.number(k - 16) << 16
            for i in members:
                rests[i] += self.number(min(k, 16))
        for position, k, rest in zip(escaped, classes, rests, strict=True):
            low, size, _ = self.tables[table_ids[position]]
            excess = rest + 2**k - 1
            symbols[position] = low - (excess + 1) // 2 if excess % 2 else low + size - 1 + excess // 2
        return symbols

    def decode_each(self, counts: list[list[int]]) -> list[int]:
        """Symbols of a call that brings a table for each."""
        return [self.entry(intervals(row)) for row in counts]

    def ends_well(self) -> bool:
        if self.range == 2**64 - 1:
            return not self.payload
        return self.code < 2**32 and len(self.payload) <= self.position - 4 and not self.payload.endswith(b"\0")
