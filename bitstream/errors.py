"""What can be wrong with a stream of bytes, and the exit code that each fault stands for."""

from __future__ import annotations


class VqcError(Exception):
    """A fault in a stream, or one that a stream asks for.

    message: what is wrong, in one line. offset: byte offset in the file, chunk: name of the chunk, where they are known.
    """

    exit_code = 1

    def __init__(self, message: str, offset: int | None = None, chunk: str | None = None):
        # All three go to Exception, so that the error survives pickling between processes.
        super().__init__(message, offset, chunk)
        self.message = message
        self.offset = offset
        self.chunk = chunk

    def __str__(self) -> str:
        where = []
        if self.chunk is not None:
            where.append(f"chunk {self.chunk}")
        if self.offset is not None:
            where.append(f"byte {self.offset}")
        return f"{self.message} ({', '.join(where)})" if where else self.message


class NotVqc(VqcError):
    """The input is not a vqc file at all."""

    exit_code = 3


class Corrupt(VqcError):
    """The input is a vqc file, and damaged."""

    exit_code = 3


class Truncated(Corrupt):
    """The input ends too early."""


class UnsupportedVersion(VqcError):
    """The input needs a newer reader, or a medium or chunk that this reader does not know."""

    exit_code = 4


class UnsupportedModel(VqcError):
    """The input was made with a model or with weights that are not here."""

    exit_code = 4


class LimitExceeded(VqcError):
    """The input asks for more than the limits of the reader allow."""

    exit_code = 5
