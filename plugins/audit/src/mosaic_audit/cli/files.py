"""``mosaic audit export`` and ``retain``."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from mosaic_audit.cli.options import as_json_option, filter_options
from mosaic_audit.times import moment
from mosaic_hookspecs.errors import Malformed
from mosaic_hookspecs.protocols import CommandLine, Host

if TYPE_CHECKING:
    from mosaic_audit.log import Filter


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["ndjson", "cef", "syslog"]), default="ndjson", show_default=True,
    help="NDJSON, Common Event Format, or RFC 5424 syslog.",
)  # fmt: skip
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write (0600); else standard output.",
)
@filter_options
@click.pass_obj
def export(line: CommandLine, /, form: str, output: Path | None, **wanted: Any) -> None:
    """Write rows for another system. NDJSON without a filter, or with --since alone, holds its own proof.

    \b
    Examples:
      mosaic audit export --output audit.ndjson && mosaic audit verify --file audit.ndjson
      mosaic audit export --format syslog --since 1h
    """

    async def work(host: Host) -> int:
        from mosaic_audit.log import Filter

        return await _write(await _lines(host, form, Filter(**wanted)), output)

    written = line.run("audit", work)
    if output:
        click.echo(f"{written} lines written to {output}")


async def _lines(host: Host, form: str, wanted: Filter) -> AsyncIterator[str]:
    from mosaic_audit.exporting import row_line, with_proof
    from mosaic_audit.formats import FORMATS
    from mosaic_audit.log import every
    from mosaic_audit.stored import Stored

    filtered = any(value is not None for name, value in asdict(wanted).items() if name != "since")
    if form == "ndjson" and not filtered:
        log = host.audit_log()
        await log.head(fresh=True)
        source = await Stored.since(host.database, wanted.since)
        return with_proof(source, host.gateway_name, await log.key())
    write = FORMATS.get(form, row_line)
    return (write(row) async for row in every(host.database, wanted))


async def _write(lines: AsyncIterator[str], output: Path | None) -> int:
    """Write all lines, and have them on the disk; return how many."""
    file = _opened(output) if output else sys.stdout
    count = 0
    try:
        async for text in lines:
            file.write(text)
            count += 1
        file.flush()
        if output:
            os.fsync(file.fileno())
    finally:
        if output:
            file.close()
    return count


def _opened(path: Path) -> IO[str]:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8")
    except OSError as error:
        raise Malformed(f"{path} cannot be written: {error.strerror}", remedy="name another file") from None


@click.command()
@click.option(
    "--older-than",
    "before",
    type=moment,
    required=True,
    help="400d, or a date: months that ended by then go.",
)
@click.option(
    "--archive",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write their rows there first (NDJSON with proof).",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
@click.pass_obj
def retain(line: CommandLine, before: datetime, archive: Path | None, yes: bool, as_json: bool) -> None:
    """Drop months that ended before a time; what is left stays verifiable. It cannot be undone.

    \b
    Examples:
      mosaic audit retain --older-than 400d --archive audit-2025.ndjson
      mosaic audit retain --older-than 2026-01-01 --yes
    """
    from mosaic_audit.retention import old_months, retire

    def save(host: Host) -> Callable[[int], Any]:
        return lambda number: _archive(host, number, archive)

    async def look(host: Host) -> list[dict[str, Any]]:
        return [asdict(month) for month in await old_months(host, before)]

    async def work(host: Host) -> list[dict[str, Any]]:
        return [asdict(month) for month in await retire(host, before, save(host) if archive else None)]

    months = line.run("audit", look)
    if months and not yes:
        names = ", ".join(month["partition"] for month in months)
        click.confirm(f"Drop {names} with all their rows?", abort=True, err=True)
    gone = line.run("audit", work) if months else []
    line.table(gone, columns=("partition", "ended"), as_json=as_json, empty="No month is that old.")


async def _archive(host: Host, number: int, path: Path | None) -> None:
    from mosaic_audit.exported import Exported
    from mosaic_audit.exporting import with_proof
    from mosaic_audit.stored import Part, Stored
    from mosaic_audit.verifying import verify

    if path is None:
        return
    own = await host.audit_log().key()
    source = Stored(host.database, Part(archive=number))
    await _write(with_proof(source, host.gateway_name, own), path)
    broken = [report for report in await verify(Exported.open(path), own) if report.broken_at is not None]
    if broken:
        raise Malformed(
            f"the archive {path} does not hold, so nothing was dropped: {broken[0].problem}",
            remedy="run `mosaic audit verify`, and find out who changed the log",
        )
