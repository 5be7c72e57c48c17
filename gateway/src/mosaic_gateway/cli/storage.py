"""``mosaic storage``: move all rows to another Postgres."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell
from mosaic_hookspecs.errors import ConfigError, Malformed

if TYPE_CHECKING:
    from mosaic_hookspecs.types import DatabaseLocation
    from mosaic_migrations.tier import Plan, Progress, Report

_FROM = {"standalone": ("local",), "federated": ("local", "standalone")}


@click.group()
def storage() -> None:
    """Where rows live."""


@storage.command(
    "migrate-tier",
    epilog="""
\b
The password of the target comes from --target-password-file, from PGPASSWORD or from ~/.pgpass.
Killed at any moment, the tool or either server, the same command goes on. A second run changes nothing.
The source is only read; to go back, keep the old config.

\b
Examples:
  mosaic storage migrate-tier --to standalone --target postgresql://mosaic@db.example/mosaic --dry-run
  mosaic storage migrate-tier --to federated --target postgresql://mosaic@127.0.0.1:5433/mosaic \\
      --target-password-file /run/secrets/postgres --yes --write-config
""",
)
@click.option("--to", type=click.Choice(list(_FROM)), required=True, help="The tier to move to.")
@click.option("--target", "url", required=True, metavar="URL", help="Its database, without a password.")
@click.option(
    "--target-password-file",
    "password_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that holds the password of the target.",
)
@click.option("--dry-run", is_flag=True, help="Look at both sides and print the plan; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--write-config", is_flag=True, help="Then write the new tier and URL into the config file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def migrate_tier(
    shell: Shell,
    to: str,
    url: str,
    password_file: Path | None,
    dry_run: bool,
    yes: bool,
    write_config: bool,
    as_json: bool,
) -> None:
    """Copy every table to the database of a larger tier, check the copy, and put it to use there."""
    from mosaic_gateway.cli.tier_change import TierChange

    location = _target(url, password_file)
    change = TierChange(shell.source, to, url, password_file)
    if change.is_made():
        click.echo(f"{shell.source.path} names this tier and target already: nothing was changed", err=True)
        if as_json:
            shell.record({"already_there": True, "rows_copied": 0}, as_json=True)
        return
    _check_way(shell, to)
    if write_config:
        change.check()
    if not (dry_run or yes) and (as_json or not sys.stdin.isatty()):
        raise Malformed("nobody is here to confirm", remedy="add --yes, or --dry-run to see the plan only")
    asyncio.run(_migrate(shell, to, location, dry_run=dry_run, yes=yes, as_json=as_json))
    if not dry_run:
        _change_config(change, write=write_config, ask=not yes and not as_json)


def _target(url: str, password_file: Path | None) -> DatabaseLocation:
    from mosaic_hookspecs.postgres_url import parse_postgres_url
    from mosaic_hookspecs.secret_file import read_secret

    parsed = parse_postgres_url(url, where="--target")
    if parsed.password is not None:
        raise Malformed(
            "--target holds a password, and every user of this machine can read command lines",
            remedy="change that password; then use --target-password-file, PGPASSWORD or ~/.pgpass",
        )
    return parsed.location(
        read_secret(password_file, where="--target-password-file") if password_file else None
    )


def _check_way(shell: Shell, to: str) -> None:
    tier = shell.composition.tier.name
    if tier not in _FROM[to]:
        raise ConfigError(
            f"this gateway is of the tier {tier!r}, and the way to {to!r} is from {' or '.join(_FROM[to])}",
            remedy="there is no way back but the old config and the old database",
        )


async def _migrate(
    shell: Shell, to: str, location: DatabaseLocation, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    from mosaic_gateway.compose import find_tier
    from mosaic_gateway.database import connect
    from mosaic_migrations.tier import Route, make_plan, move

    composition = shell.composition
    if not composition.config.data_dir.is_dir():
        raise ConfigError(
            f"data_dir {composition.config.data_dir} does not exist", remedy="run `mosaic gateway init`"
        )
    tier, faults = find_tier(to)
    if tier is None:
        raise ConfigError(f"there is no tier {to!r} here", faults=faults, remedy=f"install mosaic-tier-{to}")
    vector = composition.config.storage.enable_vector
    async with composition.storage.open(serving=False) as here:
        route = Route.between(
            lambda: connect(here),
            lambda: _connect_target(location),
            composition.migrations,
            vector=tier.enable_vector if vector is None else vector,
        )
        plan = await make_plan(route)
        if dry_run or not as_json:
            _print_plan(shell, plan, as_json=as_json)
        if dry_run:
            return
        if not yes:
            click.confirm(f"Move these rows to the tier {to!r}?", abort=True, err=True)
        with _progress_bar() as progress:
            report = await move(route, plan, progress)
    _print_report(shell, report, as_json=as_json)


async def _connect_target(location: DatabaseLocation) -> Any:
    from mosaic_gateway.database import connect
    from mosaic_hookspecs.errors import Unavailable

    try:
        return await connect(location)
    except Unavailable as error:  # its remedy names the keys of a config
        remedy = error.remedy.replace("storage.password_file", "--target-password-file")
        raise Unavailable(error.detail, remedy=remedy.replace("storage.url", "--target")) from error


def _print_plan(shell: Shell, plan: Plan, *, as_json: bool) -> None:
    rows = [{"table": t.name, "rows": t.rows, "bytes": t.bytes} for t in plan.tables]
    summary = {
        "rows": plan.rows,
        "bytes": plan.bytes,
        "estimated_seconds": round(plan.seconds),
        "target_version": plan.target_version,
        "target_encrypted": plan.encrypted,
        "goes_on": plan.unfinished,
    }
    if as_json:
        shell.record({**summary, "tables": rows}, as_json=True)
        return
    shell.table(rows, columns=("table", "rows", "bytes"), as_json=False, empty="no tables")
    shell.record(summary, as_json=False)


def _print_report(shell: Shell, report: Report, *, as_json: bool) -> None:
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


def _change_config(change: Any, *, write: bool, ask: bool) -> None:
    if not write and ask and change.is_possible():
        write = click.confirm(f"Write the new tier into {change.path}?", err=True)
    if write:
        click.echo(f"{change.path} changed; the old one is {change.write()}", err=True)
    else:
        click.echo(f"To use it, change {change.path}:\n{change.text()}", err=True)


@contextmanager
def _progress_bar() -> Iterator[Progress]:
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
