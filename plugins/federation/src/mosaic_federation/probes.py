"""What an admin should know of the federation: certificates that end, peers that refuse us, grants in quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509

from mosaic_federation.joins import Joins
from mosaic_federation.lifetimes import ends_soon, in_words
from mosaic_federation.peers import Peer, Peers
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


@dataclass(frozen=True, slots=True)
class _Trouble:
    status: Literal["red", "yellow"]
    detail: str
    remedy: str


async def _peers(host: Host) -> Finding:
    now = datetime.now(UTC)
    peers = await Peers(host.database).all()
    found = [trouble for peer in peers for trouble in _troubles(peer, now)]
    found += [
        _Trouble("yellow", f"{join.name}: its enrollment was cut short", _new_url(join.name))
        for join in await Joins(host.database).all()
        if join.failed
    ]
    if not found:
        return Finding(
            "green", f"{len(peers)} peer(s), none that refuses or is away, no certificate near its end"
        )
    found.sort(key=lambda trouble: trouble.status)  # red ones first
    remedies = dict.fromkeys(trouble.remedy for trouble in found)
    return Finding(found[0].status, "; ".join(each.detail for each in found), "; ".join(remedies))


def _troubles(peer: Peer, now: datetime) -> Iterator[_Trouble]:
    test = f"`mosaic federation peer test {peer.name}`"
    if peer.not_after <= now:
        yield _Trouble("red", f"{peer.name}: our certificate has expired", _new_url(peer.name))
    elif peer.refusal:
        # its words are all that came: a refusal has no finer code
        quarantined = "quarantined" in peer.refusal
        release = f"let the admin of {peer.name} look into it and release the grant, then {test}"
        other = f"{test} says more; {_new_url(peer.name)}"
        yield _Trouble("red", f"{peer.name}: {peer.refusal}", release if quarantined else other)
    if peer.retry_at:
        away = f"{peer.name}: not reached ({peer.failure}), {_last(peer.answered_at)}"
        yield _Trouble("yellow", away, f"see that {peer.name} is up; {test} says more")
    if peer.not_after > now and ends_soon(_start(peer.chain), peer.not_after, now):
        left = in_words(peer.not_after - now)
        renew = f"`mosaic federation peer renew {peer.name}`, if the running gateway does not"
        yield _Trouble("yellow", f"{peer.name}: our certificate ends soon ({left} more)", renew)
    if peer.renewal_failures and peer.not_after > now and not peer.refusal:
        failed = f"renewing our certificate failed {peer.renewal_failures} time(s): {peer.renewal_failure}"
        yield _Trouble("yellow", f"{peer.name}: {failed}", f"{test} says more")


def _new_url(name: str) -> str:
    return f"ask the admin of {name} for a new URL, or `mosaic federation peer remove {name}`"


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
