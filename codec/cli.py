"""The programs `vqc`, `vqc-enc` and `vqc-dec`: one group of commands, and its two halves by themselves.

Commands from elsewhere join through the entry-point group `vqc.commands`. They are listed by name alone and imported when
called, so that a broken one, or one whose extra is not installed, costs nobody else anything.
"""

from __future__ import annotations

import os
import signal
import sys
from copy import copy
from typing import TYPE_CHECKING, Any

import click

from vqc.commands.decode import decode
from vqc.commands.encode import encode
from vqc.commands.info import info
from vqc.commands.roundtrip import roundtrip
from vqc.commands.tokens import tokens
from vqc.commands.verify import verify
from vqc.failures import FAILURE, INTERRUPTED, USAGE, describe, one_line
from vqc.outputs import exit_by_signal
from vqc.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "vqc.commands"


def entry_points() -> tuple[EntryPoint, ...]:
    """The commands that other packages announce, not loaded."""
    from importlib.metadata import entry_points  # not above: `vqc info` has no use for it, and little time

    return tuple(entry_points(group=ENTRY_POINTS))


class ForeignCommand(click.Command):
    """Stands for a command of an entry point until it is called, and then makes way for it."""

    def __init__(self, point: EntryPoint) -> None:
        super().__init__(point.name, help=f"From {point.module}.", add_help_option=False)
        self.point = point

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self._load().make_context(info_name, args, parent=parent, **extra)

    def _load(self) -> click.Command:
        try:
            command = self.point.load()
        except Exception as error:
            # A foreign import can fail in any way, and none of them is the user's to debug.
            reason = f"{type(error).__name__}: {error}{self._hint() if isinstance(error, ImportError) else ''}"
            raise click.ClickException(f"cannot load the command {self.name} ({self.point.value}): {reason}") from error
        if not isinstance(command, click.Command):
            raise click.ClickException(f"cannot load the command {self.name}: {self.point.value} is not a click command")
        return command

    def _hint(self) -> str:
        package = self.point.dist.metadata if self.point.dist else None
        if package is None or self.name not in (package.get_all("Provides-Extra") or []):
            return ""
        return f'; pip install "{package["Name"]}[{self.name}]" brings what it needs'


class Commands(click.Group):
    """The built-in commands, in the order of their use, then those of entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *sorted({point.name for point in entry_points()} - set(self.commands))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in self.commands:
            return self.commands[name]
        return next((ForeignCommand(point) for point in entry_points() if point.name == name), None)


_version = click.version_option(__version__, message="%(prog)s %(version)s")
_EPILOG = """vqc COMMAND --help tells the options of a command.

Shell completion: put eval "$(_VQC_COMPLETE=bash_source vqc)" into ~/.bashrc; zsh_source and fish_source do it for zsh and fish.
"""
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(
    cls=Commands,
    invoke_without_command=True,
    commands={"encode": encode, "decode": decode, "info": info, "verify": verify, "roundtrip": roundtrip, "tokens": tokens},
    epilog=_EPILOG,
    context_settings=_SETTINGS,
)
@_version
@click.pass_context
def vqc(ctx: click.Context) -> None:
    """Learned codec: pictures, sound and video to .vqc files and back."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE)


def _by_itself(command: click.Command) -> click.Command:
    """A command of the group as a program of its own."""
    alone = copy(command)
    alone.params, alone.context_settings = [*command.params], _SETTINGS
    return _version(alone)


encode_alone, decode_alone = _by_itself(encode), _by_itself(decode)


def run(command: click.Command, name: str, args: list[str] | None = None) -> int:
    """Run a command as the program `name` and return its exit code. Whatever ends it early is one line on standard error."""
    try:
        code = command.main(args, prog_name=name, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else name
        return _complain(f"{path}: {error.format_message()} (see {path} --help)", USAGE)
    except click.ClickException as error:
        return _complain(f"{name}: {error.format_message()}", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _complain(f"{name}: interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The interpreter flushes standard output once more at its end, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        failure = describe(error)
        return _complain(f"{name}: {failure.message}", failure.exit_code)


def _complain(line: str, code: int) -> int:
    print(one_line(line), file=sys.stderr)
    return code


def _reserve_streams() -> None:
    """Opens the standard streams that the program was started without (`2>&-`).

    Else the next file would get their number, and with it what libraries print. In Python they stay None.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one


def _program(command: click.Command, name: str) -> int:
    _reserve_streams()
    signal.signal(signal.SIGTERM, exit_by_signal)
    return run(command, name)


def main() -> int:
    """Console script `vqc`."""
    return _program(vqc, "vqc")


def main_encode() -> int:
    """Console script `vqc-enc`."""
    return _program(encode_alone, "vqc-enc")


def main_decode() -> int:
    """Console script `vqc-dec`."""
    return _program(decode_alone, "vqc-dec")
