"""`vqc tokens`: sounds to the discrete codes of a vector quantised model, and back."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from vqc.batch import STREAM, Job, Outcome, run_jobs
from vqc.commands.decode import SOUND_DEFAULT, SOUND_FORMATS
from vqc.commands.encode import EXTENSION
from vqc.commands.options import FILE, Engine, FiniteFloat, Messages, engine_options, message_options
from vqc.commands.report import report, shown
from vqc.commands.targets import jobs_for, open_target, source_of

TOKENS = ".npz"
_DEVICE = ("device", "threads")


@dataclass(frozen=True)
class EncodeTokens:
    """Tokens of the sound, or of the .vqc file, of one job."""

    wish: dict[str, Any]
    force: bool
    engine: Engine

    def __call__(self, job: Job) -> Outcome:
        from vqc import tokens

        start = perf_counter()
        with open_target(job, self.force) as file:
            found = tokens.encode(source_of(job), **self.wish, **_device(self.engine))
            data = io.BytesIO()  # an archive wants to seek
            found.save(data)
            file.write(data.getvalue())
        seconds = perf_counter() - start
        frames, columns = found.codes.shape
        record = {
            "input": job.source,
            "output": job.target,
            "bytes": data.tell(),
            "frames": frames,
            "columns": columns,
            "codebook_size": int(found.codebook_sizes[0]),
            "frame_rate": found.frame_rate,
            "codes_used": [round(used, 4) for used, _ in tokens.codes_used([found])],
            "channels": found.channels,
            "model": found.model,
            "quality": found.quality,
            "seconds": round(seconds, 4),
        }
        summary = (
            f"{shown(job.source)} -> {shown(job.target, 'stdout')}: {frames} frames x {columns} codes of "
            f"{record['codebook_size']}, {found.frame_rate:g} frames/s, model {found.model}, {seconds:.2f} s"
        )
        return Outcome(job, record, summary)


@dataclass(frozen=True)
class DecodeTokens:
    """The sound, or the .vqc file, of the tokens of one job."""

    force: bool
    engine: Engine

    def __call__(self, job: Job) -> Outcome:
        from vqc import tokens
        from vqc.audio_api import write_sound_file

        start = perf_counter()
        source = source_of(job)
        if job.source == STREAM:
            source = io.BytesIO(source.read())
        with open_target(job, self.force) as file:
            found = tokens.Tokens.load(source)
            if job.target.lower().endswith(EXTENSION):
                file.write(tokens.to_vqc(found, **_device(self.engine)))
            else:
                sound = tokens.decode(found, **_device(self.engine))
                write_sound_file(sound, file, SOUND_DEFAULT if job.target == STREAM else job.target)
        seconds, length = perf_counter() - start, found.samples / found.rate
        record = {"input": job.source, "output": job.target, "duration": length, "seconds": round(seconds, 4)}
        summary = f"{shown(job.source)} -> {shown(job.target, 'stdout')}: {length:.2f} s, {seconds:.2f} s"
        return Outcome(job, record, summary)


@dataclass(frozen=True)
class TokensUsage:
    """How many codes of each codebook the archives of one job use: a file, or all those below a folder."""

    def __call__(self, job: Job) -> Outcome:
        from vqc import tokens

        folder = Path(job.source)
        paths = sorted(p for p in folder.rglob("*") if _is_tokens(p.name)) if folder.is_dir() else [folder]
        if not paths:
            raise FileNotFoundError(f"no tokens ({TOKENS}) below {shown(job.source)}")
        used = tokens.codes_used(tokens.Tokens.load(str(path)) for path in paths)
        record = {
            "input": job.source,
            "files": len(paths),
            "codes_used": [round(part, 4) for part, _ in used],
            "perplexity": [round(part, 4) for _, part in used],
        }
        lines = [f"{shown(job.source)}: stage, part of its codes in use, perplexity / size; files: {len(paths)}"]
        lines += [f"{stage:6d}  {part:6.1%}  {even:6.1%}" for stage, (part, even) in enumerate(used, 1)]
        return Outcome(job, record, "\n".join(lines))


def _device(engine: Engine) -> dict[str, Any]:
    arguments = engine.arguments()
    return {name: arguments[name] for name in _DEVICE}


def _is_tokens(name: str) -> bool:
    return name.lower().endswith(TOKENS)


def _is_sound(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in (*SOUND_FORMATS.values(), EXTENSION)


_force = click.option(
    "-f", "--force", is_flag=True, help="Overwrite OUT if it exists.  [default: an OUT that exists is an error]"
)


@click.group()
def tokens() -> None:
    """Sounds to discrete tokens, for language models, and back.

    Tokens are the codes of a vector quantised model: those that its .vqc file holds. They decode to the same samples.
    """


@tokens.command(epilog="Exit codes: 0 done, 1 failure, 2 usage, 3 corrupt or truncated, 4 unsupported model, 130 interrupted.")
@click.argument("inputs", metavar="IN [OUT]", nargs=-1, required=True, type=FILE)
@click.option(
    "-q",
    "--quality",
    type=FiniteFloat(0, 100),
    metavar="Q",
    help="From 0 (one code a frame and channel) to 100 (as many as the model has).  [default: 60]",
)
@click.option(
    "--bitrate",
    type=FiniteFloat(0, min_open=True),
    metavar="KBPS",
    help="Search for the quality whose .vqc file would have KBPS kbit/s, or comes nearest. Excludes -q.",
)
@_force
@engine_options
@message_options
def encode(
    inputs: tuple[str, ...], quality: float | None, bitrate: float | None, force: bool, engine: Engine, messages: Messages
) -> None:
    """Tokens of the sound IN, or of the .vqc file IN of a vector quantised model, to the NumPy archive OUT (.npz).

    OUT holds an integer array `codes` (frames x columns), `codebook_sizes`, `frame_rate`, and what is needed to decode them;
    docs/cli.md tells the layout. Without OUT, talk.wav becomes talk.npz beside it; - is standard input or output.
    """
    if quality is not None and bitrate is not None:
        raise click.UsageError("only one of --quality and --bitrate can be given.")
    wish = {name: value for name, value in (("quality", quality), ("bitrate", bitrate)) if value is not None}
    _run(EncodeTokens(wish, force, engine), inputs, TOKENS, _is_tokens, messages)


@tokens.command(epilog="Exit codes: 0 done, 1 failure, 2 usage, 4 unsupported model, 130 interrupted.")
@click.argument("inputs", metavar="TOKENS [OUT]", nargs=-1, required=True, type=FILE)
@_force
@engine_options
@message_options
def decode(inputs: tuple[str, ...], force: bool, engine: Engine, messages: Messages) -> None:
    """The sound of the NumPy archive TOKENS to OUT: .wav, .flac, .aiff, .w64, or the .vqc file of the same codes.

    Without OUT, talk.npz becomes talk.wav beside it; - is standard input or output.
    """
    _run(DecodeTokens(force, engine), inputs, SOUND_DEFAULT, _is_sound, messages)


@tokens.command(epilog="Exit codes: 0 done, 1 failure, 2 usage, 130 interrupted.")
@click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=FILE)
@message_options
def usage(inputs: tuple[str, ...], messages: Messages) -> None:
    """How many codes of each codebook the NumPy archives IN use, or all archives below the folder IN.

    A few seconds of sound have fewer frames than a codebook has codes: a folder with minutes of sound tells more.
    """
    outcomes = run_jobs(TokensUsage(), [Job(name, None) for name in inputs])
    click.get_current_context().exit(report(outcomes, len(inputs), messages, answer=True))


def _run(work: Any, inputs: tuple[str, ...], extension: str, is_output: Any, messages: Messages) -> None:
    if len(inputs) > 2:
        raise click.UsageError("one input and one output at a time.")
    todo = jobs_for(inputs, None, extension=extension, wanted=is_output, is_output=is_output, as_json=messages.as_json)
    outcomes: Iterator[Outcome] = run_jobs(work, todo)
    click.get_current_context().exit(report(outcomes, 1, messages))
