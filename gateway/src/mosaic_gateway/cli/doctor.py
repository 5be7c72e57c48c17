"""``mosaic gateway doctor``: examine, print, mend what is safe to mend."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from mosaic_gateway.cli.logs import log_to_stderr
from mosaic_gateway.cli.shell import Shell, printable
from mosaic_hookspecs.errors import MosaicError

if TYPE_CHECKING:
    from mosaic_gateway.health import Checked
    from mosaic_gateway.health.report import Diagnosis

T = TypeVar("T")

_COLOURS = {"green": "green", "yellow": "yellow", "red": "red"}
_EXIT = {"green": 0, "yellow": 1, "red": 2}
_FAREWELL = 0.5  # seconds for what was cancelled to end


@click.command(
    epilog="""
\b
Examples:
  mosaic gateway doctor
  mosaic gateway doctor --json | jq .status
  mosaic gateway doctor --fix
  mosaic gateway doctor --watch 10

\b
Exit codes: 0 green · 1 yellow · 2 red. docs/reference/doctor.schema.json describes the JSON.
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one line each time.")
@click.option("--fix", is_flag=True, help="Do the remedies that are safe, each after asking.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=5.0,
    metavar="[SECONDS]",
    help="Examine again and again, every 5 s or so many seconds, until Ctrl-C.",
)
@click.pass_obj
def doctor(shell: Shell, as_json: bool, fix: bool, yes: bool, watch: float | None) -> None:
    """Examine the gateway, running or not, and say what to do. Changes nothing without --fix."""
    if fix and watch:
        raise click.UsageError("--fix and --watch do not go together")
    if fix and not yes and not sys.stdin.isatty():
        raise click.UsageError("--fix asks first, and there is nobody to ask: add --yes")
    if shell.debug:
        log_to_stderr("debug")
    stopped = _until_interrupted()
    while True:
        diagnosis, checked = _examined(shell, as_json=as_json)
        if fix and any(each.finding.fix for each in checked):
            _mend(checked, ask=not yes)
            diagnosis, _ = _examined(shell, as_json=as_json)
        _print(diagnosis, as_json=as_json, watching=watch is not None)
        if watch is None:
            _leave(_EXIT[diagnosis.status])
        if stopped.wait(watch):
            raise KeyboardInterrupt


def _until_interrupted() -> threading.Event:
    """Python drops the exception of a Ctrl-C that comes within a destructor: watching would go on for ever."""
    stopped = threading.Event()

    def stop(*_: object) -> NoReturn:
        stopped.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    return stopped


def _leave(code: int) -> NoReturn:
    """End now. The interpreter would first wait for threads, and a resolver or a disk may hold one for minutes."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _examined(shell: Shell, *, as_json: bool) -> tuple[Diagnosis, Sequence[Checked]]:
    """A configuration that cannot be used is a finding, too; and so is a probe that blocks, which ends it all."""
    from mosaic_gateway.health.doctor import diagnosis, examine, unusable
    from mosaic_gateway.health.probes import HOST, PROBE_TIMEOUT, Checked, blocks
    from mosaic_gateway.plugins import guarded

    start = time.perf_counter()
    try:
        composition = shell.composition
    except MosaicError as error:
        checked: Sequence[Checked] = unusable(error)
        return diagnosis(None, checked, time.perf_counter() - start), checked

    def stuck(what: str) -> None:  # in a thread of its own: nothing else runs any more
        found = [Checked(HOST, "probes", blocks(what), PROBE_TIMEOUT)]
        _print(diagnosis(composition, found, time.perf_counter() - start), as_json=as_json, watching=False)
        _leave(_EXIT["red"])

    with guarded(stuck, PROBE_TIMEOUT):
        checked = run_bounded(examine(composition))
    return diagnosis(composition, checked, time.perf_counter() - start), checked


def run_bounded(work: Coroutine[Any, Any, T]) -> T:
    """Like ``asyncio.run``, which would wait at the end for a probe that ignores its cancellation."""
    import asyncio

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_FAREWELL))
            loop.set_exception_handler(lambda *_: None)  # what is left even now has its finding
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _mend(checked: Sequence[Checked], *, ask: bool) -> None:
    import asyncio

    for each in checked:
        fix = each.finding.fix
        if fix is None:
            continue
        question = (
            f"{each.name}: {printable(each.finding.detail)}\n  → {printable(each.finding.remedy)}\n  do it?"
        )
        if ask and not click.confirm(question, err=True):
            continue
        try:
            asyncio.run(fix())  # type: ignore[arg-type]  # any awaitable of a plugin's
        except MosaicError as error:
            click.echo(f"{each.name}: not done: {printable(str(error))}", err=True)
        except Exception as error:
            click.echo(f"{each.name}: not done ({type(error).__name__})", err=True)
        else:
            click.echo(f"{each.name}: done", err=True)


def _print(diagnosis: Diagnosis, *, as_json: bool, watching: bool) -> None:
    if as_json:
        click.echo(diagnosis.model_dump_json(indent=None if watching else 2))
        return
    if watching and sys.stdout.isatty():
        click.clear()
    if diagnosis.gateway:
        needs = ", ".join(diagnosis.services)
        seconds = f"{diagnosis.milliseconds / 1000:.2f} s"
        click.echo(
            f"{diagnosis.gateway}: tier {diagnosis.tier}, {needs}; mosaic {diagnosis.version}; {seconds}"
        )
    width = max(len(entry.probe) for entry in diagnosis.findings)
    for entry in diagnosis.findings:
        status = click.style(f"{entry.status:<6}", fg=_COLOURS[entry.status])
        probe = printable(entry.probe).ljust(width)
        click.echo(f"{status}  {probe}  {entry.milliseconds:7.1f} ms  {printable(entry.detail)}")
        if entry.remedy:
            click.echo(f"{'':<{width + 22}}→ {printable(entry.remedy)}")
    overall = click.style(diagnosis.status, fg=_COLOURS[diagnosis.status], bold=True)
    click.echo(f"overall: {overall}")
