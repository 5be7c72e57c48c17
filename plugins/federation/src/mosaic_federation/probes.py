"""What an admin should know of the federation: certificates that end, peers that refuse us, grants in quarantine."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509

from mosaic_federation.joins import Joins
from mosaic_federation.lifetimes import ends_soon, in_words
from mosaic_federation.peers import Peers
from mosaic_federation.server_identity import is_ending
from mosaic_federation.settings import Settings
from mosaic_federation.standings import is_up
from mosaic_federation.wall import wall_probe
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Finding, Probe, Rate

_LOOK = Rate("federation-probe", 1000, 1)

_sql = load_queries("mosaic_federation", "queries.sql")
_enrollment = load_queries("mosaic_federation", "enrollment.sql")


def certificate_probes(host: Host) -> Iterable[Probe]:
    """For the doctor, and some for readiness."""
    return (
        Probe("federation listener", lambda: _listener(host)),
        Probe("federation peers", lambda: _peers(host)),
        Probe("federation grants", lambda: _grants(host)),
        wall_probe(host),
        Probe("peer limits", lambda: _limits(host)),
    )


async def _listener(host: Host) -> Finding:
    row = await host.database.fetchrow(_sql.server_identity, host.settings(Settings).url.host or "")
    if row is None:
        return Finding("green", "its certificate is signed at the first start")
    left = row["not_after"] - datetime.now(UTC)
    remedy = "a running gateway has it signed anew within a minute: if not, look at its log and its authority"
    if left <= timedelta():
        return Finding("red", f"its certificate expired {in_words(-left)} ago: no peer can connect", remedy)
    status: Literal["green", "yellow"] = "yellow" if is_ending(row["chain"]) else "green"
    return Finding(
        status, f"its certificate lasts {in_words(left)} more", "" if status == "green" else remedy
    )


async def _peers(host: Host) -> Finding:
    now = datetime.now(UTC)
    peers = await Peers(host.database).all()
    expired = [f"{peer.name}: our certificate has expired" for peer in peers if peer.not_after <= now]
    refused = [f"{peer.name}: {peer.refusal}" for peer in peers if peer.refusal and peer.not_after > now]
    ending = [
        f"{peer.name}: our certificate ends soon ({in_words(peer.not_after - now)} more)"
        for peer in peers
        if peer.not_after > now and ends_soon(_start(peer.chain), peer.not_after, now)
    ]
    away = [
        f"{peer.name}: not reached ({peer.failure}), {_last(peer.answered_at)}"
        for peer in peers
        if peer.retry_at
    ]
    not_renewed = [
        f"{peer.name}: renewing our certificate failed {peer.renewal_failures} time(s): {peer.renewal_failure}"
        for peer in peers
        if peer.renewal_failures and peer.not_after > now and not peer.refusal
    ]
    ending += not_renewed
    cut_short = [
        f"{join.name}: its enrollment was cut short"
        for join in await Joins(host.database).all()
        if join.failed
    ]
    remedy = "`mosaic federation peer test` says more; ask the admins of these for new URLs, or remove them"
    if expired or refused:
        return Finding("red", "; ".join(expired + refused + away + ending + cut_short), remedy)
    if away or ending or cut_short:
        return Finding("yellow", "; ".join(away + ending + cut_short), remedy)
    return Finding(
        "green", f"{len(peers)} peer(s), none that refuses or is away, no certificate near its end"
    )


async def _grants(host: Host) -> Finding:
    grants = await host.database.fetch(_enrollment.quarantined)
    if not grants:
        return Finding("green", "none is quarantined")
    names = ", ".join(f"{row['id']} (of {row['peer_name']})" for row in grants)
    return Finding(
        "red",
        f"quarantined, since an enrollment URL was used a second time: {names}",
        "ask each peer's admin which certificate is theirs (`mosaic federation peer show`): "
        "`mosaic federation grant release` if it is the one on record, else `mosaic federation grant revoke`",
    )


async def _limits(host: Host) -> Finding:
    """Whether what peers ask can be counted, and what is done if not."""
    limiter = host.limiter()
    try:
        async with nullcontext() if is_up(host) else limiter.open():  # the doctor brings no service up
            await limiter.take("doctor", _LOOK)
    except Unavailable as error:
        if host.settings(Settings).limits.when_unavailable == "local":
            done = "what peers ask is counted in each process alone"
            return Finding("yellow", f"{done}: {error.detail}", error.remedy)
        return Finding("red", f"peers are refused, for nothing can be counted: {error.detail}", error.remedy)
    return Finding("green", f"what peers ask is counted by {limiter.name}")


def _last(answered_at: datetime | None) -> str:
    return (
        f"its last answer came {answered_at:%Y-%m-%d %H:%M} UTC" if answered_at else "it has never answered"
    )


def _start(chain: bytes) -> datetime:
    return x509.load_pem_x509_certificates(chain)[0].not_valid_before_utc
