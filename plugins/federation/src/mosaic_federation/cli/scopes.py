"""``mosaic federation scope``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO
from uuid import UUID

import click

from mosaic_federation.cli.scope_options import read_file
from mosaic_federation.cli.shared import json_option, run, terminal

if TYPE_CHECKING:
    from mosaic_federation.simulating import Simulation
    from mosaic_hookspecs.protocols import Host
    from mosaic_hookspecs.scope import Scope
    from mosaic_hookspecs.types import Explanation


@click.group()
def scope() -> None:
    """What a grant covers."""


@scope.command("schema")
def scope_schema() -> None:
    """Print the JSON Schema of a scope.

    \b
    Example:
      mosaic federation scope schema > scope.schema.json
    """
    from mosaic_hookspecs.scope import Scope

    click.echo(json.dumps(Scope.model_json_schema(), indent=2, ensure_ascii=False))


@scope.command("check")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--subject", metavar="USER", help="User whose teams alone it may name.  [default: any]")
@json_option
def scope_check(file: TextIO, subject: str | None, as_json: bool) -> None:
    """Say in words what a scope would share, or every place where it is wrong; - reads standard input.

    \b
    Example:
      mosaic federation scope check scope.json --subject lead
    """
    from mosaic_federation.scopes import build_scope, in_words

    written = read_file(file)

    async def work(host: Host) -> tuple[Scope, list[str]]:
        teams = None
        if subject is not None:
            teams = await host.identity.teams_of((await host.identity.user(subject)).id)
        built = build_scope(written, host.rows, teams)
        return built, in_words(built, teams or ())

    built, words = run(work)
    if as_json:
        terminal().record({"scope": built.model_dump(mode="json"), "scope_in_words": words}, as_json=True)
        return
    click.echo("the scope is valid:")
    for line in words:
        click.echo(f"  - {line}")


@scope.command("explain")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@click.argument("resource")
@click.argument("row_id")
@json_option
def scope_explain(grant_id: UUID, resource: str, row_id: str, as_json: bool) -> None:
    """Say whether a grant shows a row now, which columns of it, and why.

    \b
    Example:
      mosaic federation scope explain 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 tasks 7d0c…
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> Explanation:
        return await Grants(host).explain(grant_id, resource, row_id)

    found = run(work)
    if as_json:
        terminal().record({"visible": found.visible, "reasons": found.reasons}, as_json=True)
        return
    click.echo(f"{resource}/{row_id} is {'visible' if found.visible else 'hidden'}:")
    for reason in found.reasons:
        click.echo(f"  - {reason}")


@scope.command("simulate")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@click.option(
    "--scope",
    "file",
    type=click.File(encoding="utf-8"),
    required=True,
    help="The proposed scope; - reads standard input.",
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=7, show_default=True, help="How far to look back."
)
@json_option
def scope_simulate(grant_id: UUID, file: TextIO, days: int, as_json: bool) -> None:
    """Replay a grant's recent requests against another scope, and print what would change. Changes nothing.

    The audit log keeps only hashes of queries: a row that was asked for by its id is found again by the hash; of
    lists and searches it says whether their resource would still be there.

    Exit codes: 0 nothing that was answered would be refused · 1 something would be · others as always.

    \b
    Examples:
      mosaic federation scope simulate 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --scope scope.json
      mosaic federation scope simulate 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --scope scope.json --days 30 --json
    """
    from mosaic_federation.simulating import simulate

    written = read_file(file)
    speaks = sys.stderr.isatty() and not as_json

    def progress(rows: int) -> None:
        if speaks:
            click.echo(f"\r{rows} audit rows read", nl=False, err=True)

    found = run(lambda host: simulate(host, grant_id, written, days=days, progress=progress))
    if speaks:
        click.echo(err=True)
    _show(found, as_json=as_json)
    if found.lost:
        raise SystemExit(1)


def _show(found: Simulation, *, as_json: bool) -> None:
    requests, resources = ([asdict(each) for each in part] for part in (found.requests, found.resources))
    if as_json:
        whole = {"since": found.since, "lost": found.lost, "requests": requests, "resources": resources}
        terminal().record(whole, as_json=True)
        return
    asked = ("verb", "resource", "before", "after", "requests")
    terminal().table(requests, columns=asked, as_json=False, empty="no list, search or row was asked for")
    click.echo()
    for each in resources:
        each["hidden_columns"] = ", ".join(each["hidden_columns"])
    shown = ("resource", "rows_now", "rows_then", "hidden_columns")
    terminal().table(resources, columns=shown, as_json=False, empty="neither scope shows a resource")
    click.echo(
        f"\n{found.lost} request(s) since {found.since:%Y-%m-%d %H:%M} UTC were answered and would be refused"
    )
