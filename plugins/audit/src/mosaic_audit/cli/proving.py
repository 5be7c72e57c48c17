"""``mosaic audit key``, ``checkpoint`` and ``verify``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from mosaic_audit.cli.options import as_json_option
from mosaic_audit.times import moment
from mosaic_hookspecs.errors import Malformed
from mosaic_hookspecs.protocols import CommandLine, Host

if TYPE_CHECKING:
    from mosaic_audit.verifying import Report
    from mosaic_hookspecs.audit import AuditCheckpoint

_VERIFY = ("stream", "rows", "unsigned", "first", "last", "broken_at", "problem")


@click.command()
@as_json_option
@click.pass_obj
def key(line: CommandLine, as_json: bool) -> None:
    """Print the public key that checkpoints are signed with: Ed25519, for whoever wants to check them.

    \b
    Example:
      mosaic audit key
    """
    from mosaic_audit.key import key_text

    async def work(host: Host) -> str:
        return key_text(await host.audit_log().key())

    text = line.run("audit", work)
    if as_json:
        line.record({"key": text}, as_json=True)
    else:
        click.echo(text)


@click.command()
@as_json_option
@click.pass_obj
def checkpoint(line: CommandLine, as_json: bool) -> None:
    """Sign what is not signed yet, and print the latest checkpoint. Keep it elsewhere: it proves what was there.

    \b
    Examples:
      mosaic audit checkpoint
      mosaic audit checkpoint --json > /mnt/elsewhere/checkpoint.json
    """

    async def work(host: Host) -> AuditCheckpoint | None:
        return await host.audit_log().head(fresh=True)

    latest = line.run("audit", work)
    if latest is None:
        raise Malformed(
            "the audit log is empty, so there is no checkpoint", remedy="try again after an answer has left"
        )
    proof = {"payload": latest.payload, "signature": latest.signature.hex()}
    shown = {name: latest.content[name] for name in ("number", "at", "gateway", "rows", "root")}
    line.record({**shown, "hash": latest.hash.hex(), **(proof if as_json else {})}, as_json=as_json)


@click.command()
@click.option("--since", type=moment, help="Only from the last checkpoint before then.")
@click.option(
    "--checkpoint", "kept", type=click.File(encoding="utf-8"),
    help="Must still be there: a file with what `audit checkpoint --json` printed, or - for standard input.",
)  # fmt: skip
@click.option(
    "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check an exported file instead; needs no gateway.",
)  # fmt: skip
@click.option("--key", "key_given", help="What `mosaic audit key` printed on the gateway; for --file.")
@as_json_option
@click.pass_context
def verify(
    context: click.Context,
    since: datetime | None,
    kept: IO[str] | None,
    path: Path | None,
    key_given: str | None,
    as_json: bool,
) -> None:
    """Check every row, chain, checkpoint and signature; exit 1 if one does not hold, and say where.

    \b
    Examples:
      mosaic audit verify --json
      mosaic audit verify --checkpoint /mnt/elsewhere/checkpoint.json
      mosaic audit verify --file audit.ndjson --key ed25519:…
    """
    line: CommandLine = context.obj
    old = _read_checkpoint(kept) if kept else None
    reports = _verify_file(path, key_given, old) if path else _verify_here(line, since, old)
    rows = [asdict(report) for report in reports]
    line.table(
        [row if as_json else {**row, "stream": row["stream"] or "checkpoints"} for row in rows],
        columns=_VERIFY,
        as_json=as_json,
        empty="The audit log is empty.",
    )
    _say_what_cannot_be_seen(reports, old)
    if broken := sum(report.broken_at is not None for report in reports):
        text = f"The log does not hold: {broken} of {len(reports)} parts are broken, as `problem` says above."
        click.secho(text, fg="red", err=True)
        context.exit(1)


def _read_checkpoint(file: IO[str]) -> AuditCheckpoint:
    from mosaic_hookspecs.audit import AuditCheckpoint

    try:
        fields = json.load(file)
        read = AuditCheckpoint(str(fields["payload"]), bytes.fromhex(fields["signature"]))
        _ = read.number, read.at
    except (ValueError, KeyError, TypeError):
        raise Malformed(
            "the checkpoint cannot be read", remedy="give what `mosaic audit checkpoint --json` printed"
        ) from None
    return read


def _verify_here(line: CommandLine, since: datetime | None, kept: AuditCheckpoint | None) -> list[Report]:
    from mosaic_audit.key import load_key, public
    from mosaic_audit.stored import Stored
    from mosaic_audit.verifying import verify

    async def work(host: Host) -> list[Report]:
        private = await load_key(host.database, host.sealer)
        own = public(private) if private else None
        return await verify(await Stored.since(host.database, since), own, _genuine(kept, own))

    return line.run("audit", work)


def _verify_file(path: Path, key_given: str | None, kept: AuditCheckpoint | None) -> list[Report]:
    from mosaic_audit.exported import Exported
    from mosaic_audit.key import key_text, read_key
    from mosaic_audit.verifying import verify

    try:
        key = read_key(key_given) if key_given else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--key") from None
    exported = Exported.open(path)
    if key is None:
        click.echo(f"signed with {key_text(exported.key)}, as the file says: is it the gateway's?", err=True)
    for number, which in (
        (exported.part.base, "up to"),
        (exported.part.archive, "after what was given up with"),
    ):
        if number:
            click.echo(f"the file is a part: it tells nothing of rows {which} checkpoint {number}", err=True)
    own = key or exported.key
    import asyncio

    return asyncio.run(verify(exported, own, _genuine(kept, own)))


def _genuine(kept: AuditCheckpoint | None, key: bytes | None) -> AuditCheckpoint | None:
    if kept and not (key and kept.is_by(key)):
        raise Malformed(
            "the checkpoint was not signed with this gateway's key", remedy="compare `mosaic audit key`"
        )
    return kept


def _say_what_cannot_be_seen(reports: Sequence[Report], kept: AuditCheckpoint | None) -> None:
    signed = next((report.rows for report in reports if report.stream is None), 0)
    unsigned = sum(report.unsigned for report in reports)
    if reports:
        since = f"checkpoint {kept.number}" if kept else "a checkpoint kept elsewhere (--checkpoint)"
        click.echo(
            f"{signed} checkpoints, {unsigned} rows not signed yet. Rows cut off the end together with the checkpoints "
            f"that cover them are seen only up to {since}.",
            err=True,
        )
