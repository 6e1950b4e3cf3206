"""Options that several commands share, and the types of their values. Nothing here imports the codec."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from vqc.bitstream.limits import Limits

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(allow_dash=True, path_type=str)


@dataclass(frozen=True)
class LimitChoice:
    """What to refuse: --max-pixels, --no-limits."""

    max_pixels: int | None = None
    none: bool = False

    def limits(self) -> Limits:
        """For the functions of vqc.api."""
        from vqc.bitstream.limits import Limits

        return Limits.none() if self.none else Limits(pixels=self.max_pixels) if self.max_pixels else Limits()


@dataclass(frozen=True)
class Engine:
    """Where and within which bounds to compute: --device, --threads and the limits."""

    device: str = "auto"
    threads: int | None = None
    limits: LimitChoice = LimitChoice()

    def arguments(self, workers: int = 1) -> dict[str, Any]:
        """Keyword arguments of the functions of vqc.api. Without --threads, several workers share the cores between them."""
        threads = self.threads
        if threads is None and workers > 1:
            threads = max(1, (os.cpu_count() or 1) // workers)
        return {"device": self.device, "threads": threads, "limits": self.limits.limits()}


@dataclass(frozen=True)
class Messages:
    """What to print: --json, --quiet, -v."""

    as_json: bool = False
    quiet: bool = False
    verbose: int = 0


class FiniteFloat(click.FloatRange):
    """A number within a range; `nan`, which passes every comparison, and `inf` are refused."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


# Up to 18 digits: beyond any picture, and below the length at which int() itself refuses.
_REGION = re.compile(",".join([r"\s*([0-9]{1,18})\s*"] * 4))


class Region(click.ParamType):
    """X,Y,W,H in pixels of the stored picture, as a tuple of four int: X, Y at least 0, W, H at least 1."""

    name = "X,Y,W,H"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int, int]:
        if isinstance(value, tuple):
            return value
        match = _REGION.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not X,Y,W,H: four whole numbers with commas, such as 0,0,640,480.", param, ctx)
        x, y, width, height = map(int, match.groups())
        if width < 1 or height < 1:
            self.fail(f"{value!r}: the width and the height must be at least 1.", param, ctx)
        return x, y, width, height


class ClusterAddress(click.ParamType):
    """Address of a cluster: local, auto, HOST:PORT or ray://HOST:PORT. A file name that --ray caught by mistake is refused."""

    name = "address"
    _FORM = re.compile(r"local|auto|(ray://)?[^/\\\s]+:[0-9]{1,5}")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._FORM.fullmatch(value):
            self.fail(f"{value!r} is not an address; without one, --ray goes last.", param, ctx)
        return value


cluster_option = click.option(
    "--ray",
    "cluster",
    type=ClusterAddress(),
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Work on a Ray cluster, one CPU for each file: auto, HOST:PORT or ray://HOST:PORT; without ADDRESS, this machine.",
)


def combine(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator out of several; help lists their options in the order given."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


_compute = combine(
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where the networks run; auto takes a GPU if there is one. The symbols decoded are the same everywhere.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Threads of each process, 1 or more.  [default: all cores, shared between the -j processes]",
    ),
)
_limits = combine(
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        metavar="N",
        help="Refuse pictures of more than N pixels (exit code 5).  [default: 268435456, 2^28]",
    ),
    click.option("--no-limits", is_flag=True, help="Lift every limit on size. Only for files that you trust."),
)

_messages = combine(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file, one to a line, on standard output."),
    click.option("--quiet", is_flag=True, help="Print no summary, no warning and no progress; errors still."),
    click.option("-v", "--verbose", count=True, help="Tell where the time went; twice (-v -v): tracebacks of failures too."),
)


def engine_options(command: Command) -> Command:
    """Options of the computation, handed to the command as `engine: Engine`."""

    @wraps(command)
    def gather(*, device: str, threads: int | None, limits: LimitChoice, **rest: Any) -> Any:
        return command(engine=Engine(device, threads, limits), **rest)

    return _compute(limit_options(gather))  # type: ignore[return-value]


def limit_options(command: Command) -> Command:
    """Options that bound what is read, handed to the command as `limits: LimitChoice`."""

    @wraps(command)
    def gather(*, max_pixels: int | None, no_limits: bool, **rest: Any) -> Any:
        if max_pixels and no_limits:
            raise click.UsageError("--max-pixels and --no-limits exclude each other.")
        return command(limits=LimitChoice(max_pixels, no_limits), **rest)

    return _limits(gather)  # type: ignore[return-value]


def message_options(command: Command) -> Command:
    """Options of what is printed, handed to the command as `messages: Messages`."""

    @wraps(command)
    def gather(*, as_json: bool, quiet: bool, verbose: int, **rest: Any) -> Any:
        return command(messages=Messages(as_json, quiet, verbose), **rest)

    return _messages(gather)  # type: ignore[return-value]


quality_options = combine(
    click.option(
        "-q",
        "--quality",
        type=FiniteFloat(0, 100),
        metavar="Q",
        help="Quality, 0 (smallest file) to 100 (nearest to the original), in tenths.  [default: 60]",
    ),
    click.option(
        "--bpp",
        type=FiniteFloat(0, min_open=True),
        metavar="X",
        help="Search for the quality that gives X bits per pixel, within 2 %; a few encodes. Excludes -q.",
    ),
    click.option(
        "--bitrate",
        type=FiniteFloat(0, min_open=True),
        metavar="KBPS",
        help="Of sound: search for the quality that gives KBPS kbit/s, within 2 %, on its first minute. Excludes -q.",
    ),
    click.option(
        "--target-size",
        type=click.IntRange(min=1),
        metavar="BYTES",
        help="Search for the quality that gives a file of BYTES bytes, within 2 %. Excludes -q, --bpp and --bitrate.",
    ),
)

effort_option = click.option(
    "--effort",
    type=click.IntRange(0, 2),
    default=0,
    show_default=True,
    metavar="N",
    help="Of pictures, 0 to 2: refine each for a file some 5 % smaller at equal quality, in 14 or 22 times the time; "
    "decoding stays as it is.",
)

strip_option = click.option("--strip", is_flag=True, help="Leave out ICC profile, EXIF and XMP.  [default: all are kept]")

batch_options = combine(
    click.option(
        "-o",
        "--output-dir",
        type=click.Path(path_type=str),
        metavar="DIR",
        help="Write the outputs into DIR, which is made if need be; folders keep their subfolders. Several inputs need it.",
    ),
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Files worked on at a time, each in a process of its own.",
    ),
    click.option("-f", "--force", is_flag=True, help="Overwrite outputs that exist.  [default: they are an error]"),
)


def chosen_quality(
    quality: float | None, bpp: float | None, bitrate: float | None, target_size: int | None
) -> dict[str, float]:
    """The one of -q, --bpp, --bitrate and --target-size that is given, as keyword argument of vqc.api; more: a usage error."""
    options = {"quality": quality, "bpp": bpp, "bitrate": bitrate, "target_size": target_size}
    given = {name: value for name, value in options.items() if value is not None}
    if len(given) > 1:
        raise click.UsageError("only one of --quality, --bpp, --bitrate and --target-size can be given.")
    return given
