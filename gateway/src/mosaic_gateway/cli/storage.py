"""``mosaic storage``: move all rows to another Postgres."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.init import service_table
from mosaic_gateway.cli.move_shown import print_plan, print_report, progress_bar
from mosaic_gateway.cli.shell import Shell
from mosaic_hookspecs.errors import ConfigError, Malformed, Unavailable

if TYPE_CHECKING:
    from mosaic_gateway.cli.tier_change import TierChange
    from mosaic_gateway.compose import Stored
    from mosaic_hookspecs.types import DatabaseLocation, MigrationSet, Tier

_FILE = click.Path(path_type=Path, dir_okay=False)
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
    type=_FILE,
    help="File that holds the password of the target, closed to others.",
)
@click.option("--queue-url", help="For the new config: where Valkey is; without a password.")
@click.option("--queue-password-file", type=_FILE, help="For the new config: file with Valkey's password.")
@click.option("--dry-run", is_flag=True, help="Look at both sides and print the plan; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--write-config", is_flag=True, help="Then write the new tier into the config file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def migrate_tier(
    shell: Shell,
    to: str,
    url: str,
    password_file: Path | None,
    queue_url: str | None,
    queue_password_file: Path | None,
    dry_run: bool,
    yes: bool,
    write_config: bool,
    as_json: bool,
) -> None:
    """Copy every table to the database of a larger tier, check the copy, and put it to use there."""
    from mosaic_gateway.cli.tier_change import TierChange
    from mosaic_gateway.compose import compose_storage

    location = _target(url, password_file)
    tables = (
        service_table("--target", url, password_file),
        service_table("--queue", queue_url, queue_password_file),
    )
    stored = compose_storage(shell.source)
    change = TierChange(shell.source, stored.tier, _tier(to), *tables)
    if change.is_made():
        click.echo(f"{shell.source.path} names this tier and target already: nothing was changed", err=True)
        if as_json:
            shell.record({"already_there": True, "rows_copied": 0}, as_json=True)
        return
    _check_way(stored.tier.name, to)
    if write_config:
        change.check()
    if not (dry_run or yes) and (as_json or not sys.stdin.isatty()):
        raise Malformed("nobody is here to confirm", remedy="add --yes, or --dry-run to see the plan only")
    import asyncio

    asyncio.run(_migrate(shell, stored, change, location, dry_run=dry_run, yes=yes, as_json=as_json))
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
    if password_file is None:
        return parsed.location()
    _refuse_open(password_file)
    return parsed.location(read_secret(password_file, where="--target-password-file"))


def _refuse_open(file: Path) -> None:
    with suppress(OSError):  # what cannot be looked at cannot be read either, which says why
        if file.stat().st_mode & 0o077:
            raise ConfigError(
                f"--target-password-file: {file} is open to other users of this machine",
                remedy=f"chmod 600 {file}; if others may have read it, change the password",
            )


def _tier(name: str) -> Tier:
    from mosaic_gateway.bound import find_tier

    tier, faults = find_tier(name)
    if tier is None:
        raise ConfigError(
            f"there is no tier {name!r} here", faults=faults, remedy=f"install mosaic-tier-{name}"
        )
    return tier


def _check_way(tier: str, to: str) -> None:
    if tier not in _FROM[to]:
        raise ConfigError(
            f"this gateway is of the tier {tier!r}, and the way to {to!r} is from {' or '.join(_FROM[to])}",
            remedy="there is no way back but the old config and the old database",
        )


async def _migrate(
    shell: Shell,
    stored: Stored,
    change: TierChange,
    location: DatabaseLocation,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    from mosaic_gateway.database import connect
    from mosaic_gateway.health import detect
    from mosaic_migrations.tier import Route, make_plan, move

    if not stored.config.data_dir.is_dir():
        raise ConfigError(
            f"data_dir {stored.config.data_dir} does not exist", remedy="run `mosaic gateway init`"
        )
    vector = stored.config.storage.enable_vector
    vector = change.tier.enable_vector if vector is None else vector
    async with stored.storage.open(serving=False) as here:
        with _about_the_target():  # what would stop the gateway there stops the move to it
            await detect(change.tier, location, [], vector=vector)
        route = Route.between(
            lambda: connect(here),
            lambda: _connect_target(location),
            await _sets(stored, here),
            vector=vector,
        )
        plan = await make_plan(route)
        if dry_run or not as_json:
            print_plan(shell, plan, change.notes(), as_json=as_json)
        if dry_run:
            return
        if not yes:
            click.confirm(f"Move these rows to the tier {change.tier.name!r}?", abort=True, err=True)
        with progress_bar() as progress:
            report = await move(route, plan, progress)
    print_report(shell, report, as_json=as_json)


async def _sets(stored: Stored, here: DatabaseLocation) -> list[MigrationSet]:
    """Of the loaded plugins, and of the tiers this gateway was of before: their tables come along."""
    from mosaic_gateway.health.database import connected
    from mosaic_gateway.plugins import each_item, installed, load
    from mosaic_migrations.runner import components

    async with connected(here) as connection:
        there = await components(connection)
    loaded = {each.component for each in stored.migrations}
    tiers = {name for name in installed() if name.startswith("tier_")} & (there - loaded)
    earlier, _faults = load({name: {} for name in tiers})
    return [*stored.migrations, *(one for _, one in each_item(earlier, "mosaic_migrations"))]


async def _connect_target(location: DatabaseLocation) -> Any:
    from mosaic_gateway.database import connect

    with _about_the_target():
        return await connect(location)


@contextmanager
def _about_the_target() -> Iterator[None]:
    """A remedy that names the keys of a config is about the options of this command here."""
    try:
        yield
    except Unavailable as error:
        detail = error.detail.replace("not ready: ", "the target: ")
        remedy = error.remedy.replace("storage.password_file", "--target-password-file")
        raise Unavailable(detail, remedy=remedy.replace("storage.url", "--target")) from error


def _change_config(change: TierChange, *, write: bool, ask: bool) -> None:
    if not write and ask and change.is_possible():
        write = click.confirm(f"Write the new tier into {change.path}?", err=True)
    if write:
        click.echo(f"{change.path} changed; the old one is {change.write()}", err=True)
    else:
        click.echo(f"To use it, change {change.path}:\n{change.text()}", err=True)
