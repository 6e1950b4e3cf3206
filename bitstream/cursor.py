"""Reading fields one after the other from the payload of a chunk."""

from __future__ import annotations

from .errors import Corrupt
from .varint import read_varint


class Cursor:
    """A place in a payload. offset: where the payload begins in the file. chunk: its name; both go into errors.

    Every method raises Corrupt when the payload ends too early or the field is not well formed.
    """

    def __init__(self, data: bytes, offset: int = 0, chunk: str | None = None):
        self.data = data
        self.position = 0
        self._offset = offset
        self._chunk = chunk

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.position:
            raise self.corrupt(f"{count} bytes are needed, {len(self.data) - self.position} are left")
        self.position += count
        return self.data[self.position - count : self.position]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.position)

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        try:
            return read_varint(self.byte)
        except Corrupt as error:
            raise self.corrupt(error.message) from None

    def ascii(self, most: int) -> str:
        """A length byte and as many printable ASCII characters, 1 to most."""
        length = self.byte()
        if not 1 <= length <= most:
            raise self.corrupt(f"a name has {length} characters, 1 to {most} are allowed")
        text = self.take(length).decode("latin-1")
        if not is_name(text, most):
            raise self.corrupt(f"the name {text!r} is not printable ASCII")
        return text

    def end(self) -> None:
        """Checks that nothing is left."""
        if self.position != len(self.data):
            raise self.corrupt(f"{len(self.data) - self.position} bytes are left over")

    def corrupt(self, message: str) -> Corrupt:
        """The error for a fault at this place."""
        return Corrupt(message, self._offset + self.position, self._chunk)


def is_name(text: str, most: int) -> bool:
    """Whether text is 1 to most characters of printable ASCII without blanks."""
    return 1 <= len(text) <= most and all("!" <= character <= "~" for character in text)


def pack_ascii(text: str, most: int) -> bytes:
    """The inverse of Cursor.ascii. Raises ValueError."""
    if not is_name(text, most):
        raise ValueError(f"{text!r} is not a name of 1 to {most} printable ASCII characters")
    return bytes([len(text)]) + text.encode("ascii")
