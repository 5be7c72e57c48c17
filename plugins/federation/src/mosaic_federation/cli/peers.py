"""``mosaic federation peer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mosaic_federation.cli.shared import actor, json_option, run, terminal

if TYPE_CHECKING:
    from mosaic_federation.enrollment_url import EnrollmentURL
    from mosaic_federation.joining import Offered
    from mosaic_federation.peers import Peer, Readers
    from mosaic_hookspecs.protocols import Host

_COLUMNS = ("name", "state", "gateway", "subject", "resources", "not_after", "readers")


@click.group()
def peer() -> None:
    """Gateways that share with this one."""


@peer.command("add")
@click.argument("url")
@click.option("--name", help="What to call the peer here. Default: what it calls itself.")
@click.option(
    "--readers",
    type=click.Choice(["admins", "everyone"]),
    default="admins",
    show_default=True,
    help="Which users of this gateway may read through it.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def peer_add(url: str, name: str | None, readers: Readers, yes: bool, as_json: bool) -> None:
    """Enroll with another gateway, by the URL that its admin has sent.

    \b
    Example:
      mosaic federation peer add 'https://work.example/federation/v1/enroll/…#ca=…' --name work
    """
    from mosaic_federation import joining
    from mosaic_federation.enrollment_url import read_url

    enrollment = read_url(url)

    async def look(_: Host) -> Offered:
        return await joining.fetch_offer(enrollment)

    offered = run(look)
    _show_offer(enrollment, offered)
    if not yes:
        click.confirm("Enroll?", abort=True, err=True)

    async def work(host: Host) -> Peer:
        return await joining.join(
            host, enrollment, offered, name=name or offered.gateway, readers=readers, actor=actor()
        )

    added = run(work)
    if as_json:
        terminal().record(_peer_record(added), as_json=True)
    else:
        click.echo(f"peer {added.name} is {added.state}: it was heard from over mTLS at {added.url}")


@peer.command("list")
@json_option
def peer_list(as_json: bool) -> None:
    """List peers.

    \b
    Example:
      mosaic federation peer list --json
    """
    from mosaic_federation.peers import Peers

    async def work(host: Host) -> list[Peer]:
        return await Peers(host.database).all()

    rows = [_peer_record(one) for one in run(work)]
    terminal().table(
        rows, columns=_COLUMNS, as_json=as_json, empty="No peers. See `mosaic federation peer add`."
    )


@peer.command("test")
@click.argument("name", metavar="PEER")
@json_option
def peer_test(name: str, as_json: bool) -> None:
    """Ask a peer over mTLS who we are. One that enrolled but was not reached becomes active.

    \b
    Example:
      mosaic federation peer test work
    """
    from mosaic_federation import joining

    async def work(host: Host) -> Peer:
        return await joining.hear_from(host, name)

    terminal().record(_peer_record(run(work)), as_json=as_json)


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


def _show_offer(url: EnrollmentURL, offered: Offered) -> None:
    who = f"gateway {offered.gateway!r} at {url.place}"
    click.echo(f"{who} offers a view through the eyes of {offered.subject.username!r}:", err=True)
    for line in offered.scope_in_words:
        click.echo(f"  - {line}", err=True)
    click.echo(f"Its certificate authority (SHA-256): {url.ca_sha256}", err=True)


def _peer_record(one: Peer) -> dict[str, Any]:
    from mosaic_federation.routes import peer_record

    return peer_record(one) | {"resources": one.scope.get("resources", [])}
