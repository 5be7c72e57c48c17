"""How a move is shown: its plan, its progress, its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell, printable

if TYPE_CHECKING:
    from mosaic_migrations.tier import Plan, Progress, Report


def print_plan(shell: Shell, plan: Plan, notes: list[str], *, as_json: bool) -> None:
    """What would be moved, and what to know before."""
    rows = [{"table": t.name, "rows": t.rows, "bytes": t.bytes} for t in plan.tables]
    left = "{0} shows rows of {1}, which stays where it is: bring it to the target before you start there, or take {0} "
    notes = [*notes, *(f"{left.format(view.name, view.reads)}out of plugins.tables" for view in plan.views)]
    summary = {
        "rows": plan.rows,
        "bytes": plan.bytes,
        "estimated_seconds": round(plan.seconds),
        "target_version": plan.target_version,
        "target_encrypted": plan.encrypted,
        "goes_on": plan.unfinished,
        "already_there": plan.already_there,
    }
    if as_json:
        shell.record({**summary, "notes": notes, "tables": rows}, as_json=True)
        return
    shell.table(rows, columns=("table", "rows", "bytes"), as_json=False, empty="no tables")
    shell.record(summary, as_json=False)
    for note in notes:
        click.echo(f"note: {printable(note)}")


def print_report(shell: Shell, report: Report, *, as_json: bool) -> None:
    """What is there now: rows and content hashes of both sides."""
    rows = [
        {"table": t.name, "rows": t.target.rows, "source_hash": str(t.source), "target_hash": str(t.target)}
        for t in report.tables
    ]
    summary = {
        "rows": sum(t.target.rows for t in report.tables),
        "rows_copied": report.copied,
        "resumed": report.resumed,
        "already_there": report.already_there,
        "seconds": round(report.seconds, 1),
        "peak_memory_mb": round(_peak_memory(), 1),
    }
    if as_json:
        shell.record({**summary, "tables": rows}, as_json=True)
        return
    columns = ("table", "rows", "source_hash", "target_hash")
    shell.table(rows, columns=columns, as_json=False, empty="no tables")
    if report.already_there:
        click.echo("the target holds exactly these rows already: nothing was changed")
    else:
        shell.record(summary, as_json=False)


def _peak_memory() -> float:
    """The most that this process had resident so far, in MB of 2^20 bytes."""
    with suppress(
        OSError
    ):  # Linux; its ru_maxrss would count what the program that started this one had, too
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return getrusage(RUSAGE_SELF).ru_maxrss / 2**20  # macOS: in bytes


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """What the move tells its progress to: a bar on a terminal, else nothing."""
    from mosaic_migrations.tier import silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total, rate="")
            speed = next(task.speed for task in bar.tasks if task.id == tasks[step])
            rate = f"{speed:,.0f} rows/s" if step == "copying" and speed else ""
            bar.update(tasks[step], completed=done, total=max(total, done), rate=rate)

        yield show
