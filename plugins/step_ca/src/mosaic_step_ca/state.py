"""How the authority is, as it says itself: asked by the probe and by `mosaic federation ca show`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from cryptography import x509

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_step_ca.authority import StepCA
from mosaic_step_ca.client import Reply
from mosaic_step_ca.store import known_provisioners


@dataclass(frozen=True, slots=True)
class State:
    """What is worth knowing of an authority that answers."""

    url: str
    fingerprint: str  # of the root, SHA-256, hex
    root_ends: datetime
    intermediate_ends: datetime  # the first of them, if there are several
    list_ends: datetime  # when its revocation list is too old
    revoked: int  # serials on that list
    clock: timedelta  # how far its clock is ahead of ours; to the second
    provisioners: Mapping[str, bool]  # ours by name, and whether it knows the key


async def state_of(host: Host) -> State:
    """Ask everything there is to ask. Raises as :class:`StepCA` does."""
    authority = StepCA(host)
    try:
        health = await authority.ask("/health")
        if health.json().get("status") != "ok":
            raise Unavailable("the certificate authority says it is not well", remedy="look into its log")
        root = x509.load_pem_x509_certificate(await authority.root())
        above = await authority.intermediates()
        listed = x509.load_der_x509_crl(await authority.crl())
        there = (await authority.ask("/1.0/provisioners?limit=100")).json().get("provisioners")
        known = await known_provisioners(host.database)
        return State(
            url=authority.url,
            fingerprint=authority.fingerprint,
            root_ends=root.not_valid_after_utc,
            intermediate_ends=min(each.not_valid_after_utc for each in above),
            list_ends=listed.next_update_utc or datetime.now(UTC),
            revoked=len(listed),
            clock=_clock(health),
            provisioners={name: kid in _key_ids(there) for kid, name in known.items()},
        )
    finally:
        await authority.close()


def _clock(reply: Reply) -> timedelta:
    try:
        return parsedate_to_datetime(reply.date) - datetime.now(UTC).replace(microsecond=0)
    except (ValueError, TypeError):  # TypeError: a date without a zone, which "-0000" means
        return timedelta()


def _key_ids(provisioners: Any) -> set[str]:
    told = provisioners if isinstance(provisioners, list) else []
    keys = [each.get("key") for each in told if isinstance(each, dict)]
    return {str(key.get("kid")) for key in keys if isinstance(key, dict)}
