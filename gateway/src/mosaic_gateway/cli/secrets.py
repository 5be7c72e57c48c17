"""``mosaic secrets``: which keys seal what is secret at rest, a new key, and an end for old ones."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mosaic_gateway.cli.shell import Shell

if TYPE_CHECKING:
    from mosaic_gateway.boot import Gateway
    from mosaic_gateway.sealing import Count, Keyring, Report
    from mosaic_gateway.sealing.rotation import Progress
    from mosaic_hookspecs.protocols import Queries

T = TypeVar("T")

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def secrets() -> None:
    """Keys that private keys and credentials are sealed with in the database."""


@secrets.command(epilog="\b\nExample:\n  mosaic secrets status --json")
@_json
@click.pass_obj
def status(shell: Shell, as_json: bool) -> None:
    """Show the keys, and how much each column of the database has sealed with each."""
    from mosaic_gateway.sealing import count

    async def work(gateway: Gateway, sql: Queries) -> tuple[list[dict[str, Any]], list[Count]]:
        counts = await count(sql, gateway.composition.sealed_columns)
        return _keys(gateway.keyring, counts), counts

    keys, counts = _apart(shell, work, alone=False)
    columns = [asdict(each) for each in counts]
    if as_json:
        shell.record({"keys": keys, "columns": columns}, as_json=True)
        return
    shell.table(keys, columns=("key", "state", "made", "envelopes"), as_json=False, empty="no keys")
    click.echo()
    names = ("table", "column", "key", "envelopes", "declared")
    shell.table(columns, columns=names, as_json=False, empty="nothing is sealed yet")


@secrets.command(
    epilog="""
\b
Killed at any moment, the same command goes on. Gateways that run take up the new key by themselves.
Back up the key file afterwards: an older copy does not open what is sealed from now on.
Exit code 1: some values do not open and were left as they are; each is named.

\b
Example:
  mosaic secrets rotate && sleep 120 && mosaic secrets retire
"""
)
@_json
@click.pass_obj
def rotate(shell: Shell, as_json: bool) -> None:
    """Make a new key, and seal every secret anew with it while the gateway runs."""
    from mosaic_gateway.sealing import rotate

    with _progress() as progress:
        report = _apart(shell, lambda g, sql: rotate(sql, g.keyring, g.composition.sealed_columns, progress))
    _print(shell, report, as_json=as_json)
    if report.faults:
        sys.exit(1)


@secrets.command(epilog="\b\nExample:\n  mosaic secrets retire")
@_json
@click.pass_obj
def retire(shell: Shell, as_json: bool) -> None:
    """Erase the old keys from the key file; refused while anything is sealed with one of them."""
    from mosaic_gateway.sealing import retire

    retired = _apart(shell, lambda g, sql: retire(sql, g.keyring, g.composition.sealed_columns))
    shell.table(
        [{"key": key} for key in retired], columns=("key",), as_json=as_json, empty="there is no old key"
    )


def _apart(shell: Shell, work: Callable[[Gateway, Queries], Awaitable[T]], *, alone: bool = True) -> T:
    """Do it on a connection of its own, without the pool's time limit: to look through every table may take long.

    With ``alone`` nobody else changes keys meanwhile: the lock ends with the connection, and so does the work.
    """
    from mosaic_gateway.database import Statements, connect
    from mosaic_gateway.sealing import lock

    async def main(gateway: Gateway) -> T:
        connection = await connect(gateway.location)
        try:
            if alone:
                await lock(Statements(connection))
            return await work(gateway, Statements(connection))
        finally:
            await connection.close(timeout=5)

    return shell.gateway(main)


def _keys(keyring: Keyring, counts: Sequence[Count]) -> list[dict[str, Any]]:
    known = keyring.keys
    states = {key: "active" if key == known.active else "old" for key in known.keys}
    for each in counts:
        states.setdefault(each.key or "", "not sealed" if each.key is None else "missing")
    return [
        {
            "key": key,
            "state": state,
            "made": known.made.get(key),
            "envelopes": sum(each.envelopes for each in counts if (each.key or "") == key),
        }
        for key, state in states.items()
    ]


def _print(shell: Shell, report: Report, *, as_json: bool) -> None:
    if as_json:
        shell.record({**asdict(report), "faults": [asdict(fault) for fault in report.faults]}, as_json=True)
        return
    shell.record(
        {"active key": report.key, "new": report.added, "sealed anew": report.resealed}, as_json=False
    )
    for fault in report.faults:
        click.echo(f"left as it is: {fault}", err=True)
    for each in report.unknown:
        click.echo(
            f"left as it is: {each.table}.{each.column}: {each.envelopes} with {each.key}, and no loaded plugin "
            "says how to seal it anew",
            err=True,
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    shown = sys.stderr.isatty()

    def show(column: str, done: int) -> None:
        if shown:
            click.echo(f"\r{column}: {done} sealed anew\x1b[K", nl=False, err=True)

    yield show
    if shown:
        click.echo("\r\x1b[K", nl=False, err=True)
