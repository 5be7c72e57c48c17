"""``mosaic federation grant`` and ``scope``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from mosaic_federation.cli.shared import actor, json_option, run, terminal

if TYPE_CHECKING:
    from mosaic_federation.grants import Grant, Offer
    from mosaic_hookspecs.protocols import Host
    from mosaic_hookspecs.types import Explanation

_COLUMNS = ("id", "peer_name", "subject", "resources", "status", "created_at", "expires_at")


@click.group()
def grant() -> None:
    """What other gateways may see of this one."""


@click.group()
def scope() -> None:
    """What a grant covers."""


@grant.command("create")
@click.option("--subject", required=True, metavar="USER", help="User through whose eyes the peer looks.")
@click.option("--peer", "peer_name", required=True, metavar="NAME", help="What you call the other gateway.")
@click.option("--resource", "resources", multiple=True, required=True, help="Resource to share; repeatable.")
@click.option("--team", "teams", multiple=True, metavar="SLUG", help="Team whose rows to share; repeatable.")
@click.option("--all-teams", is_flag=True, help="Rows of every team of the subject, now and later.")
@click.option("--personal", is_flag=True, help="The subject's own rows.")
@click.option("--exclude", multiple=True, metavar="X", help="Resource, or resource/row-id, never to share.")
@click.option("--max-rows", type=int, default=100, show_default=True, help="Most rows of one answer.")
@click.option("--days", type=int, help="End the grant after so many days. Default: it has no end.")
@json_option
def grant_create(
    subject: str,
    peer_name: str,
    resources: tuple[str, ...],
    teams: tuple[str, ...],
    all_teams: bool,
    personal: bool,
    exclude: tuple[str, ...],
    max_rows: int,
    days: int | None,
    as_json: bool,
) -> None:
    """Offer a peer a view, and print the URL with which it enrolls.

    \b
    Example:
      mosaic federation grant create --subject lead --peer home --resource tasks --resource notes \\
        --team garden --personal --exclude notes/0b9f… --max-rows 50
    """
    from mosaic_federation.grants import Grants
    from mosaic_federation.scopes import ScopeRequest

    wanted = ScopeRequest(resources, teams, all_teams, personal, exclude, max_rows)

    async def work(host: Host) -> Offer:
        return await Grants(host).create(
            subject=subject, peer=peer_name, scope=wanted, actor=actor(), days=days
        )

    offer = run(work)
    if as_json:
        offered = {"url": offer.url, "url_expires_at": offer.url_expires_at, "scope_in_words": offer.words}
        terminal().record(_grant_record(offer.grant) | offered, as_json=True)
        return
    click.echo(f"grant {offer.grant.id}: {peer_name} may, through the eyes of {subject}")
    for line in offer.words:
        click.echo(f"  - {line}")
    click.echo(f"Send this URL to the admin of {peer_name} over a channel you trust.")
    click.echo(
        f"It can be used once, until {offer.url_expires_at:%Y-%m-%d %H:%M:%S} UTC, and is not shown again:"
    )
    click.echo(offer.url)


@grant.command("list")
@json_option
def grant_list(as_json: bool) -> None:
    """List grants.

    \b
    Example:
      mosaic federation grant list --json
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> list[Grant]:
        return await Grants(host).all()

    rows = [_grant_record(one) for one in run(work)]
    terminal().table(
        rows, columns=_COLUMNS, as_json=as_json, empty="No grants. See `mosaic federation grant create`."
    )


@grant.command("show")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@json_option
def grant_show(grant_id: UUID, as_json: bool) -> None:
    """Show one grant, its scope in words included.

    \b
    Example:
      mosaic federation grant show 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> tuple[Grant, list[str]]:
        grants = Grants(host)
        found = await grants.show(grant_id)
        return found, await grants.words(found)

    found, words = run(work)
    terminal().record(_grant_record(found) | {"scope_in_words": words}, as_json=as_json)


@grant.command("revoke")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@click.option("--reason", help="Kept with the grant.")
@json_option
def grant_revoke(grant_id: UUID, reason: str | None, as_json: bool) -> None:
    """Take a grant back: the peer's next request is refused.

    \b
    Example:
      mosaic federation grant revoke 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --reason "project ended"
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> Grant:
        return await Grants(host).revoke(grant_id, actor=actor(), reason=reason)

    revoked = run(work)
    if as_json:
        terminal().record(_grant_record(revoked), as_json=True)
    else:
        click.echo(f"grant {grant_id} is revoked: the next request of {revoked.peer_name} is refused")


@scope.command("explain")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@click.argument("resource")
@click.argument("row_id")
@json_option
def scope_explain(grant_id: UUID, resource: str, row_id: str, as_json: bool) -> None:
    """Say whether a grant covers a row, and why.

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


def _grant_record(one: Grant) -> dict[str, Any]:
    return {
        "id": one.id,
        "peer_name": one.peer_name,
        "peer_gateway": one.peer_gateway,
        "subject": one.subject,
        "resources": [name for name in one.scope.resources if one.scope.allows(name)],
        "scope": one.scope.model_dump(mode="json"),
        "status": one.status,
        "serial": one.serial,
        "not_after": one.not_after,
        "created_by": one.created_by,
        "created_at": one.created_at,
        "activated_at": one.activated_at,
        "expires_at": one.expires_at,
        "revoked_at": one.revoked_at,
        "revoked_by": one.revoked_by,
        "reason": one.reason,
    }
