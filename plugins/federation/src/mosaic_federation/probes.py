"""How long the certificates of this gateway still last: its listener's, and those its peers issued to it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from mosaic_federation.peers import Peers
from mosaic_federation.server_identity import RENEW_BEFORE
from mosaic_federation.settings import Settings
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Finding, Probe

_SHARE = 3  # with less than a third of its life left a certificate is worth a word
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

_sql = load_queries("mosaic_federation", "queries.sql")


def certificate_probes(host: Host) -> Iterable[Probe]:
    """For the doctor; both read the database."""
    return (
        Probe("federation listener", lambda: _listener(host)),
        Probe("federation peers", lambda: _peers(host)),
    )


async def _listener(host: Host) -> Finding:
    row = await host.database.fetchrow(_sql.server_certificate, host.settings(Settings).url.host or "")
    if row is None:
        return Finding("green", "its certificate is signed at the first start")
    left = row["not_after"] - datetime.now(UTC)
    if left > timedelta(days=RENEW_BEFORE):
        return Finding("green", f"its certificate lasts {_words(left)} more")
    remedy = "start the gateway anew: it has the certificate signed anew, as always in its last month"
    if left > timedelta():
        return Finding("yellow", f"its certificate lasts {_words(left)} more", remedy)
    return Finding("red", f"its certificate expired {_words(-left)} ago: no peer can connect", remedy)


async def _peers(host: Host) -> Finding:
    now = datetime.now(UTC)
    peers = await Peers(host.database).all()
    expired = [peer.name for peer in peers if peer.not_after <= now]
    ending = [
        f"{peer.name} ({_words(peer.not_after - now)} more)"
        for peer in peers
        if now < peer.not_after < now + _life(peer.chain) / _SHARE
    ]
    remedy = "ask the admins of these for new grants and enroll again, or `mosaic federation peer remove`"
    if expired:
        return Finding("red", f"certificates have expired: {', '.join(expired + ending)}", remedy)
    if ending:
        return Finding("yellow", f"certificates end soon: {', '.join(ending)}", remedy)
    return Finding("green", f"{len(peers)} peer(s), no certificate near its end")


def _life(chain: bytes) -> timedelta:
    leaf = x509.load_pem_x509_certificates(chain)[0]
    return leaf.not_valid_after_utc - leaf.not_valid_before_utc


def _words(left: timedelta) -> str:
    return f"{left // _DAY} days" if left >= 2 * _DAY else f"{left / _HOUR:.1f} hours"
