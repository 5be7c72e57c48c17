"""``mosaic data``: import and export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

import click

from mosaic_gateway.cli.shell import Shell
from mosaic_hookspecs.errors import NotFound

if TYPE_CHECKING:
    from mosaic_gateway.boot import Gateway
    from mosaic_gateway.identity import Identities
    from mosaic_gateway.transfer import Format, Report
    from mosaic_hookspecs.types import User


@click.group()
def data() -> None:
    """Bring rows in from files, and take them out."""


@data.command(
    "import",
    epilog="""
\b
Formats, told by the file's name unless --format is given:
  csv        a header row; an empty cell is an absent field; items of a list are split by ;
  json       one array of objects, or one object
  ndjson     one object per line; also .jsonl
  ics        the VTODOs of an iCalendar: UID → external_id, SUMMARY → title, DESCRIPTION → body,
             CATEGORIES → tags; a time without a zone is taken as UTC, a DUE date as its midnight UTC
  markdown   files, or every .md below a folder; title, id and tags from the front matter, else the
             first heading or the file's name, and the path below the folder as external_id

\b
A row whose external_id was imported before is replaced, never doubled: fields it lacks return to their
defaults. One without external_id is new each time.
id, owner_id, team_id, created_at, updated_at and version are ignored, so that an export can be
imported: the rows become the user's own, or the team's with --team.
All or nothing: with any fault nothing is stored, and the exit code is 2.

\b
Examples:
  mosaic data import tasks tasks.csv calendar.ics --user lead
  mosaic data import notes docs --user lead --team design
  mosaic data import tasks tasks.ndjson --user lead --dry-run
""",
)
@click.argument("resource")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("--user", "username", required=True, metavar="NAME", help="Whose rows they become.")
@click.option("--team", metavar="SLUG", help="Give the rows to this team of the user's.")
@click.option(
    "--format",
    "chosen",
    type=click.Choice(["auto", "csv", "json", "ndjson", "ics", "markdown"]),
    default="auto",
    show_default=True,
    help="Read every FILE as this.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and say what would happen; store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def import_command(
    shell: Shell,
    resource: str,
    files: tuple[Path, ...],
    username: str,
    team: str | None,
    chosen: Format | Literal["auto"],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import FILEs as rows of RESOURCE: tasks, notes, or what a plugin adds."""
    from mosaic_gateway.transfer import find_sources, import_files, progress_bar

    async def work(gateway: Gateway) -> Report:
        user = await gateway.identities.user(username)
        team_id = await _team(gateway.identities, user, team) if team else None
        sources = find_sources(files, chosen, gateway.rows.resource(resource))
        with progress_bar() as progress:
            return await import_files(
                gateway.rows, user, resource, sources, team_id=team_id, dry_run=dry_run, progress=progress
            )

    report = shell.gateway(work)
    if as_json:
        shell.record(asdict(report), as_json=True)
    else:
        click.echo(f"{resource}: {report}")


@data.command(
    "export",
    epilog="""
\b
Examples:
  mosaic data export tasks --user lead --output tasks.ndjson
  mosaic data export notes --user lead | jq -r .title
""",
)
@click.argument("resource")
@click.option("--user", "username", required=True, metavar="NAME", help="Whose view of the rows.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    default="-",
    metavar="FILE|-",
    help="Where to; - is standard output, the default.",
)
@click.pass_obj
def export_command(shell: Shell, resource: str, username: str, output: Path) -> None:
    """Write every row of RESOURCE that the user sees as NDJSON, one object per line.

    A file is replaced only when the export is complete, and only its owner can read it.
    """
    from mosaic_gateway.transfer import export_rows, progress_bar

    target = None if str(output) == "-" else output

    async def work(gateway: Gateway) -> int:
        user = await gateway.identities.user(username)
        with progress_bar() as progress:
            return await export_rows(gateway.rows, user, resource, target, progress=progress)

    number = shell.gateway(work)
    click.echo(f"{resource}: {number} {'row' if number == 1 else 'rows'} exported", err=True)


async def _team(identities: Identities, user: User, slug: str) -> UUID:
    teams = {team.slug: team.id for team in await identities.teams_of(user.id)}
    if slug not in teams:
        raise NotFound(
            f"{user.username} is not in a team {slug!r}",
            remedy=f"use one of: {', '.join(sorted(teams))}" if teams else f"{user.username} is in no team",
        )
    return teams[slug]
