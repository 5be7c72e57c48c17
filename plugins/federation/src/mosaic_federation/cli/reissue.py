"""``mosaic federation grant reissue`` and ``release``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from mosaic_federation.cli.grants import grant_record, offer_record, show_url
from mosaic_federation.cli.shared import actor, json_option, reason_option, run, terminal, version_option

if TYPE_CHECKING:
    from mosaic_federation.grants import Grant, Offer
    from mosaic_hookspecs.protocols import Host


@click.command("reissue")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@reason_option
@version_option
@click.option("--no-qr", is_flag=True, help="Print no QR code. Without a terminal there never is one.")
@json_option
def grant_reissue(
    grant_id: UUID, reason: str | None, expected_version: int | None, no_qr: bool, as_json: bool
) -> None:
    """Print a new enrollment URL for a grant; those printed before can no longer be used.

    The certificate that is in use stays so until the new URL is redeemed. In that moment it is refused.

    \b
    Example:
      mosaic federation grant reissue 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --reason "their disk was lost"
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> Offer:
        return await Grants(host).new_url(
            grant_id, actor=actor(), reason=reason, expected_version=expected_version
        )

    offer = run(work)
    if as_json:
        terminal().record(offer_record(offer), as_json=True)
    else:
        show_url(offer, qr=not no_qr)


@click.command("release")
@click.argument("grant_id", metavar="GRANT", type=click.UUID)
@reason_option
@version_option
@json_option
def grant_release(grant_id: UUID, reason: str | None, expected_version: int | None, as_json: bool) -> None:
    """Let the certificate of a quarantined grant in again.

    Only once its peer's admin has confirmed, over a channel you trust, that the serial on record is that of
    their certificate: `grant show` and, there, `peer show` print it. If it is not, revoke the grant. The URL that
    was used twice quarantines it no more.

    \b
    Example:
      mosaic federation grant release 0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11 --reason "they clicked twice"
    """
    from mosaic_federation.grants import Grants

    async def work(host: Host) -> Grant:
        return await Grants(host).release(
            grant_id, actor=actor(), reason=reason, expected_version=expected_version
        )

    released = run(work)
    if as_json:
        terminal().record(grant_record(released), as_json=True)
    else:
        click.echo(
            f"grant {grant_id} is active again: serial {released.serial} of {released.peer_name} is let in"
        )
