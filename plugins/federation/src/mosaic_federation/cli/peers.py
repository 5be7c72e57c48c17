"""``mosaic federation peer``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mosaic_federation.cli.shared import actor, json_option, run, terminal
from mosaic_hookspecs.errors import Malformed

if TYPE_CHECKING:
    from mosaic_federation.checks import Check
    from mosaic_federation.enrollment_url import EnrollmentURL
    from mosaic_federation.joins import Join
    from mosaic_federation.offers import Offered
    from mosaic_federation.peers import Peer, Readers
    from mosaic_hookspecs.protocols import Host

_COLUMNS = (
    "name",
    "state",
    "gateway",
    "subject",
    "resources",
    "answered_at",
    "not_after",
    "renewed_at",
    "readers",
)
_COLOURS = {"green": "green", "yellow": "yellow", "red": "red"}
_EXIT = {"green": 0, "yellow": 1, "red": 2}  # as the doctor's


@click.group()
def peer() -> None:
    """Gateways that share with this one."""


@peer.command("add")
@click.argument("url", required=False)
@click.option("--name", help="What to call the peer here. Default: what it calls itself.")
@click.option(
    "--readers",
    type=click.Choice(["admins", "everyone"]),
    help="Which users of this gateway may read through it. Default: admins.",
)
@click.option("--yes", is_flag=True, help="Do not ask: believe the authority that the URL names.")
@click.option(
    "--expect-fingerprint",
    "expected",
    metavar="SHA256",
    help="Go on only if the URL names this certificate authority; as its admin has told you.",
)
@json_option
def peer_add(
    url: str | None,
    name: str | None,
    readers: Readers | None,
    yes: bool,
    expected: str | None,
    as_json: bool,
) -> None:
    """Enroll with another gateway, by the URL that its admin has sent.

    The URL holds a secret. Without it, or given as `-`, it is read from standard input, so that it is neither
    in the list of processes nor in the shell's history. A URL for a grant that a peer has already renews that
    peer: it keeps its name, and its old key is erased.

    \b
    Examples:
      mosaic federation peer add
      mosaic federation peer add - --name work --yes --expect-fingerprint 5f0c… < url.txt
      mosaic federation peer add 'https://work.example/federation/v1/enroll/…#ca=…' --name work
    """
    from mosaic_federation import joining
    from mosaic_federation.enrollment_url import check_fingerprint, read_url

    enrollment = read_url(_given(url, yes=yes))
    if expected is not None:
        check_fingerprint(enrollment, expected)

    async def look(host: Host) -> tuple[Offered, Peer | None]:
        return await joining.look(host, enrollment)

    offered, renewed = run(look)
    _show_offer(enrollment, offered, renewed)
    if not yes:
        click.confirm("Enroll?", abort=True, err=True)

    async def work(host: Host) -> Peer:
        return await joining.join(host, enrollment, offered, name=name, readers=readers, actor=actor())

    added = run(work)
    if as_json:
        terminal().record(_peer_record(added), as_json=True)
    else:
        click.echo(f"peer {added.name} is {added.state}: it was heard from over mTLS at {added.url}")


@peer.command("list")
@json_option
def peer_list(as_json: bool) -> None:
    """List peers, and enrollments that were begun and not finished (`joining`).

    \b
    Example:
      mosaic federation peer list --json
    """
    from mosaic_federation.joins import Joins
    from mosaic_federation.peers import Peers

    async def work(host: Host) -> tuple[list[Peer], list[Join]]:
        return await Peers(host.database).all(), await Joins(host.database).all()

    peers, joins = run(work)
    rows = [*map(_peer_record, peers), *map(_join_record, joins)]
    if not as_json:
        rows = list(map(_to_the_minute, rows))
    terminal().table(
        rows, columns=_COLUMNS, as_json=as_json, empty="No peers. See `mosaic federation peer add`."
    )


@peer.command("show")
@click.argument("name", metavar="PEER")
@json_option
def peer_show(name: str, as_json: bool) -> None:
    """Show one peer: its grant, our certificate for it, its release, and whether it last refused us.

    \b
    Example:
      mosaic federation peer show work
    """
    from mosaic_federation.grants import fingerprint
    from mosaic_federation.peers import Peers
    from mosaic_federation.renewals import due_at

    async def work(host: Host) -> Peer:
        return await Peers(host.database).get(name)

    found = run(work)
    ours = {"serial": found.serial, "ca_sha256": fingerprint(found.ca), "oid_arc": found.oid_arc}
    more = {"added_by": found.added_by, "capabilities": found.capabilities, "renewal_due_at": due_at(found)}
    terminal().record(_peer_record(found) | ours | more, as_json=as_json)


@peer.command("test")
@click.argument("name", metavar="PEER")
@json_option
def peer_test(name: str, as_json: bool) -> None:
    """Go the way to a peer step by step, and ask it who we are. One that was not reached before becomes active.

    Exit codes: 0 green · 1 yellow · 2 red.

    \b
    Example:
      mosaic federation peer test work
    """
    from mosaic_federation.checks import checks_of
    from mosaic_federation.peers import Peers

    async def work(host: Host) -> tuple[Peer, list[Check]]:
        peers = Peers(host.database)
        found = await peers.get(name)
        checks = [check async for check in checks_of(host, found)]
        return await peers.get(name), checks

    found, checks = run(work)
    worst = max((check.finding.status for check in checks), key=lambda status: _EXIT[status])
    if as_json:
        terminal().record(
            _peer_record(found) | {"status": worst, "checks": [_check_record(one) for one in checks]},
            as_json=True,
        )
    else:
        for check in checks:
            _show_check(check)
        click.echo(f"peer {found.name} is {found.standing}")
    sys.exit(_EXIT[worst])


@peer.command("renew")
@click.argument("name", metavar="PEER")
@json_option
def peer_renew(name: str, as_json: bool) -> None:
    """Have our certificate for a peer renewed now. A gateway that serves does it by itself, in its time.

    One that has expired cannot be renewed: ask the peer's admin for a new URL (`grant reissue`) and add it.

    \b
    Example:
      mosaic federation peer renew work
    """
    from mosaic_federation.joining import hear_from
    from mosaic_federation.peers import Peers
    from mosaic_federation.renewing import renew

    async def work(host: Host) -> Peer:
        await renew(host, await Peers(host.database).get(name))
        return await hear_from(host, name)

    renewed = run(work)
    if as_json:
        terminal().record(_peer_record(renewed), as_json=True)
    else:
        until = f"{renewed.not_after:%Y-%m-%d %H:%M} UTC"
        click.echo(f"our certificate for {name} is new: serial {renewed.serial}, until {until}")


@peer.command("remove")
@click.argument("name", metavar="PEER")
def peer_remove(name: str) -> None:
    """Forget a peer and erase its key, whether or not it can be reached.

    \b
    Example:
      mosaic federation peer remove work
    """
    from mosaic_federation.links import tell_removed
    from mosaic_federation.peers import Peers

    async def work(host: Host) -> None:
        await Peers(host.database).remove(name)
        await tell_removed(host)

    run(work)
    click.echo(f"peer {name} is removed; the grant on its side is its admin's to revoke")


def _given(url: str | None, *, yes: bool) -> str:
    if url not in {None, "-"}:
        return str(url)
    asking = sys.stdin.isatty()
    if url is None and asking:
        typed: str = click.prompt("Enrollment URL (not shown)", hide_input=True, err=True)
        return typed
    read = sys.stdin.readline()
    if not read.strip():
        raise Malformed(
            "nothing was given on standard input", remedy="give it the enrollment URL, as in `… - < url.txt`"
        )
    if not (asking or yes):
        raise Malformed(
            "standard input is no terminal to ask on whether to enroll",
            remedy="add --yes, and --expect-fingerprint with what the gateway's admin has told you",
        )
    return read


def _show_offer(url: EnrollmentURL, offered: Offered, renewed: Peer | None) -> None:
    who = f"gateway {offered.gateway!r} at {url.place}"
    click.echo(f"{who} offers a view through the eyes of {offered.subject.username!r}:", err=True)
    for line in offered.scope_in_words:
        click.echo(f"  - {line}", err=True)
    click.echo(f"Its certificate authority (SHA-256): {url.ca_sha256}", err=True)
    if renewed is not None:
        click.echo(f"This renews peer {renewed.name}, whose present certificate ends with it.", err=True)


def _show_check(check: Check) -> None:
    from mosaic_federation.answers import harmless

    finding = check.finding
    status = click.style(f"{finding.status:<6}", fg=_COLOURS[finding.status])
    click.echo(f"{status}  {check.name:<15}  {harmless(finding.detail)}")
    if finding.remedy:
        click.echo(f"{'':<25}→ {harmless(finding.remedy)}")


def _check_record(check: Check) -> dict[str, str]:
    finding = check.finding
    return {"check": check.name, "status": finding.status, "detail": finding.detail, "remedy": finding.remedy}


def _peer_record(one: Peer) -> dict[str, Any]:
    from mosaic_federation.routes import peer_record

    return peer_record(one) | {"resources": one.scope.get("resources", [])}


def _to_the_minute(row: dict[str, Any]) -> dict[str, Any]:
    at = row["answered_at"]  # no more is known of it
    return row | {"answered_at": at and at.isoformat(sep=" ", timespec="minutes")}


def _join_record(one: Join) -> dict[str, Any]:
    unknown = ("subject", "url", "not_after", "readers", "refusal", "failure", "answered_at", "retry_at", "renewed_at",
               "renewal_failure", "renewal_retry_at")  # fmt: skip
    record = dict.fromkeys(unknown)
    known = {"name": one.name, "state": "joining", "gateway": one.gateway, "grant_id": one.grant_id}
    return record | known | {"resources": [], "created_at": one.started_at}
