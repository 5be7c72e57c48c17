"""``mosaic federation grant``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from mosaic_federation.cli.limit_options import limit_options
from mosaic_federation.cli.qr import show_qr
from mosaic_federation.cli.scope_options import scope_options
from mosaic_federation.cli.shared import actor, json_option, reason_option, run, terminal, version_option

if TYPE_CHECKING:
    from mosaic_federation.grant_limits import GrantLimits
    from mosaic_federation.grant_records import Change, Grant, Offer
    from mosaic_federation.scopes import ScopeRequest
    from mosaic_hookspecs.protocols import Host

_COLUMNS = ("id", "peer_name", "subject", "resources", "status", "version", "created_at", "expires_at")
_STATES = ("pending", "active", "quarantined", "revoked", "expired")


@click.group()
def grant() -> None:
    """What other gateways may see of this one."""


@grant.command("create")
@click.option("--subject", required=True, metavar="USER", help="User through whose eyes the peer looks.")
@click.option("--peer", "peer_name", required=True, metavar="NAME", help="What you call the other gateway.")
@scope_options
@limit_options
@click.option("--no-qr", is_flag=True, help="Print no QR code. Without a terminal there never is one.")
@json_option
def grant_create(
    subject: str,
    peer_name: str,
    scope: ScopeRequest | Mapping[str, object],
    whole: bool,  # noqa: ARG001 - a new grant has no other scope
    limits: GrantLimits,
    no_qr: bool,
    as_json: bool,
) -> None:
    """Offer a peer a view, and print the URL with which it enrolls.

    \b
    Examples:
      mosaic federation grant create --subject lead --peer home --resource tasks --resource notes \\
        --team garden --personal --exclude notes/0b9f… --max-rows 50
      mosaic federation grant create --subject lead --peer home --resource tasks --personal \\
        --field tasks=title,status,created_at --max-rows-per-day 5000 --days 30
      mosaic federation grant create --subject lead --peer home --scope scope.json
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> Offer:
        return await Grants(host).create(
            subject=subject, peer=peer_name, scope=scope, actor=actor(), limits=limits
        )

    offer = run(work)
    if as_json:
        terminal().record(offer_record(offer), as_json=True)
        return
    click.echo(f"grant {offer.grant.id}: {peer_name} may, through the eyes of {subject}")
    for line in offer.words:
        click.echo(f"  - {line}")
    show_url(offer, qr=not no_qr)


@grant.command("list")
@click.option("--status", type=click.Choice(_STATES), help="Only grants in this state.")
@click.option("--peer", "peer_name", metavar="NAME", help="Only grants for this peer.")
@json_option
def grant_list(status: str | None, peer_name: str | None, as_json: bool) -> None:
    """List grants.

    \b
    Example:
      mosaic federation grant list --status active --json
    """
    from mosaic_federation.grants import Grants, check_peer_name

    if peer_name is not None:
        check_peer_name(peer_name, "peer")

    async def work(host: Host) -> list[Grant]:
        return await Grants(host).all(status=status, peer=peer_name)

    rows = [grant_record(one) for one in run(work)]
    empty = "No such grants." if status or peer_name else "No grants. See `mosaic federation grant create`."
    terminal().table(rows, columns=_COLUMNS, as_json=as_json, empty=empty)


@grant.command("show")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@json_option
def grant_show(grant_id: UUID, as_json: bool) -> None:
    """Show one grant: its scope in words, and who changed it, when and why.

    \b
    Example:
      mosaic federation grant show 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> tuple[Grant, list[str], list[Change]]:
        grants = Grants(host)
        found = await grants.show(grant_id)
        return found, await grants.words(found), await grants.history(grant_id)

    found, words, changes = run(work)
    history = [_change(each) if as_json else _change_in_words(each) for each in changes]
    terminal().record(grant_record(found) | {"scope_in_words": words, "history": history}, as_json=as_json)


@grant.command("update")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@scope_options
@limit_options
@reason_option
@version_option
@json_option
def grant_update(
    grant_id: UUID,
    scope: ScopeRequest | Mapping[str, object],
    whole: bool,
    limits: GrantLimits,
    reason: str | None,
    expected_version: int | None,
    as_json: bool,
) -> None:
    """Change what a pending or active grant shares, and how often, from the peer's next request on.

    Each option replaces that part of the scope, and what is not given stays; --scope replaces all of it.

    \b
    Examples:
      mosaic federation grant update 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --max-rows 20 --reason "as agreed"
      mosaic federation grant update 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --rate 600 --concurrency default
      mosaic federation grant update 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --scope - <scope.json
    """
    from mosaic_federation.grants import Grants
    from mosaic_federation.scopes import ScopeRequest

    if scope == ScopeRequest() and not limits.model_fields_set:
        raise click.UsageError(
            "nothing to change: give a part of the scope, --scope, --rate or --concurrency"
        )

    async def work(host: Host) -> tuple[Grant, list[str]]:
        grants = Grants(host)
        changed = await grants.update(
            grant_id,
            scope,
            actor=actor(),
            reason=reason,
            expected_version=expected_version,
            replace=whole,
            limits=limits,
        )
        return changed, await grants.words(changed)

    changed, words = run(work)
    if as_json:
        terminal().record(grant_record(changed) | {"scope_in_words": words}, as_json=True)
        return
    click.echo(f"grant {grant_id} is at version {changed.version}; from now on {changed.peer_name} may")
    for line in words:
        click.echo(f"  - {line}")


@grant.command("revoke")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@reason_option
@version_option
@json_option
def grant_revoke(grant_id: UUID, reason: str | None, expected_version: int | None, as_json: bool) -> None:
    """Take a grant back: the peer's next request is refused.

    \b
    Example:
      mosaic federation grant revoke 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --reason "project ended"
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> Grant:
        return await Grants(host).revoke(
            grant_id, actor=actor(), reason=reason, expected_version=expected_version
        )

    revoked = run(work)
    if as_json:
        terminal().record(grant_record(revoked), as_json=True)
    else:
        click.echo(f"grant {grant_id} is revoked: the next request of {revoked.peer_name} is refused")


def show_url(offer: Offer, *, qr: bool) -> None:
    """Print an offer's URL, which is not shown again, and on a terminal its QR code."""
    click.echo(
        f"Send this URL to the admin of {offer.grant.peer_name} over a channel you trust. By another one, tell"
    )
    click.echo(f"them the SHA-256 of your certificate authority: {offer.url.rpartition('=')[2]}")
    click.echo(
        f"It can be used once, until {offer.url_expires_at:%Y-%m-%d %H:%M:%S} UTC, and is not shown again:"
    )
    click.echo(offer.url)
    if qr:
        show_qr(offer.url)


def offer_record(offer: Offer) -> dict[str, Any]:
    """An offer as JSON, its URL included."""
    offered = {"url": offer.url, "url_expires_at": offer.url_expires_at, "scope_in_words": offer.words}
    return grant_record(offer.grant) | offered


def grant_record(one: Grant) -> dict[str, Any]:
    """A grant as it is shown."""
    scope = one.scope
    return {
        "id": one.id,
        "peer_name": one.peer_name,
        "peer_gateway": one.peer_gateway,
        "subject": one.subject,
        "resources": [name for name in scope.resources if scope.allows(name)] if scope else [],
        "scope": scope.model_dump(mode="json") if scope else None,
        "status": one.status,
        "version": one.version,
        "serial": one.serial,
        "not_after": one.not_after,
        "created_by": one.created_by,
        "created_at": one.created_at,
        "activated_at": one.activated_at,
        "expires_at": one.expires_at,
        "revoked_at": one.revoked_at,
        "revoked_by": one.revoked_by,
        "reason": one.reason,
        "requests_per_minute": one.requests_per_minute,
        "concurrency": one.concurrency,
    }


def _change(one: Change) -> dict[str, Any]:
    return {
        "version": one.version,
        "change": one.change,
        "at": one.at.isoformat(),
        "actor": one.actor,
        "reason": one.reason,
    }


def _change_in_words(one: Change) -> str:
    why = f" ({one.reason})" if one.reason else ""
    return f"{one.change} {one.at:%Y-%m-%d %H:%M:%S} by {one.actor}{why}"
