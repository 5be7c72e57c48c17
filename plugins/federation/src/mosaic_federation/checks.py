"""What `mosaic federation peer test` looks at: the way to a peer step by step, and what either side says of it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError
from yarl import URL

from mosaic_federation.capabilities import PROTOCOL, Capabilities
from mosaic_federation.lifetimes import ends_soon, in_words
from mosaic_federation.links import links_of
from mosaic_federation.offers import Whoami, read_whoami
from mosaic_federation.oids import read_claims
from mosaic_federation.peers import Peer, Peers
from mosaic_federation.telling import ask, told_of
from mosaic_federation.tls_errors import explain
from mosaic_hookspecs.certificates import UNREADABLE
from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Finding

_STEP = 5.0  # seconds that a step may take
_SKEW_NOTED = 10.0  # seconds between the clocks
_SKEW_TOO_MUCH = 60.0  # certificates are backdated by as much
_GRANT_ENDS_SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer."""

    name: str
    finding: Finding


async def checks_of(host: Host, peer: Peer) -> AsyncIterator[Check]:
    """Every step that can be taken, in order. A peer that knows us is active from then on."""
    yield Check("our certificate", _ours(peer))
    url = URL(peer.url)
    try:
        context = links_of(host).context(peer)
    except MosaicError as error:
        yield Check("our key", Finding("red", error.detail, error.remedy))
        return
    for name, step in (("name", _resolve), ("tcp", _connect), ("tls", _handshake)):
        finding = await _tried(step(url, context))
        yield Check(name, finding)
        if finding.status == "red":
            return
    async for check in _asked(host, peer):
        yield check


async def _asked(host: Host, peer: Peer) -> AsyncIterator[Check]:
    before = time.time()
    try:
        whoami = read_whoami(await links_of(host).get(peer, "whoami"))
    except MosaicError as error:
        yield Check("whoami", Finding("red", error.detail, error.remedy))
        return
    except ValidationError:
        yield Check("whoami", Finding("red", "what answers there is no gateway", "check its address"))
        return
    after = time.time()
    if (whoami.grant_id, whoami.subject.id) != (peer.grant_id, peer.subject_id):
        remedy = f"`mosaic federation peer remove {peer.name}`, then enroll again"
        yield Check("whoami", Finding("red", "it takes us for another grant", remedy))
        return
    await Peers(host.database).heard(peer, whoami.scope)
    release = f", release {whoami.release}" if whoami.release else ""
    told = f"{whoami.gateway!r}{release}: grant {whoami.grant_id}, the eyes of {whoami.subject.username!r}"
    yield Check("whoami", Finding("green", told))
    await ask(host, peer)
    yield Check("release", _release(told_of(await Peers(host.database).get(peer.name))))
    yield Check("grant", _grant(whoami))
    yield Check("scope", _scope(peer, whoami))
    yield Check("clock", _clock(whoami, before, after))


def _ours(peer: Peer) -> Finding:
    leaf = x509.load_pem_x509_certificates(peer.chain)[0]
    start, end, now = leaf.not_valid_before_utc, leaf.not_valid_after_utc, datetime.now(UTC)
    remedy = f"ask its admin for a new URL (`mosaic federation grant reissue {peer.grant_id}`) and add it"
    try:
        claims = read_claims(leaf.public_bytes(Encoding.DER), peer.oid_arc)
    except MosaicError as error:
        return Finding("red", error.detail, remedy)
    if (claims.grant_id, claims.subject_id) != (peer.grant_id, peer.subject_id):
        return Finding("red", "its ids are not those of the grant", remedy)
    if now >= end:
        return Finding("red", f"expired {in_words(now - end)} ago", remedy)
    if now < start:
        return Finding("red", f"valid only from {start:%Y-%m-%d %H:%M:%S} UTC", "set this machine's clock")
    text = f"holds the grant's ids, lasts {in_words(end - now)} more"
    return Finding("yellow", text, remedy) if ends_soon(start, end, now) else Finding("green", text)


async def _resolve(url: URL, _: ssl.SSLContext) -> Finding:
    found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=1)  # SOCK_STREAM
    addresses = sorted({str(each[4][0]) for each in found})
    return Finding("green", f"{url.host} is {', '.join(addresses)}")


async def _connect(url: URL, _: ssl.SSLContext) -> Finding:
    start = time.perf_counter()
    _reader, writer = await asyncio.open_connection(url.host, url.port)
    elapsed = time.perf_counter() - start
    writer.transport.abort()
    return Finding("green", f"{url.raw_authority} answers in {elapsed * 1000:.1f} ms")


async def _handshake(url: URL, context: ssl.SSLContext) -> Finding:
    _reader, writer = await asyncio.open_connection(
        url.host, url.port, ssl=context, server_hostname=url.host, ssl_handshake_timeout=_STEP
    )
    spoken: Any = writer.get_extra_info("ssl_object")
    shown = spoken.getpeercert(binary_form=True)
    writer.transport.abort()
    try:
        theirs = x509.load_der_x509_certificate(shown)
    except UNREADABLE:
        return Finding("red", "its certificate cannot be read", "have its admin compare it with RFC 5280")
    now, start, end = datetime.now(UTC), theirs.not_valid_before_utc, theirs.not_valid_after_utc
    text = (
        f"{spoken.version()}, its certificate comes from the pinned root and lasts {in_words(end - now)} more"
    )
    if ends_soon(start, end, now):
        return Finding("yellow", text, "its admin starts it anew: it has its certificate signed anew then")
    return Finding("green", text)


async def _tried(step: Any) -> Finding:
    try:
        async with asyncio.timeout(_STEP):
            finding: Finding = await step
            return finding
    except (OSError, UnicodeError) as error:  # TimeoutError and ssl.SSLError are OSErrors
        return Finding("red", *explain(error))


def _release(told: Capabilities | None) -> Finding:
    if told is None:
        return Finding(
            "yellow", "it does not tell what its release can do", "ask its admin what is wrong there"
        )
    protocol = told.protocol
    ours = f"this gateway {PROTOCOL.min} to {PROTOCOL.max}"
    text = f"{told.name} speaks protocol {protocol.min} to {protocol.max}, {ours}"
    if protocol.min > PROTOCOL.max:
        return Finding("red", text, "upgrade this gateway")
    if not told.renewal:
        remedy = "our certificate is not renewed by itself there: ask its admin for a newer release"
        return Finding("yellow", text, remedy)
    return Finding("green", text)


def _grant(whoami: Whoami) -> Finding:
    if whoami.grant_expires_at is None:
        return Finding("green", "active, without end")
    left = whoami.grant_expires_at - datetime.now(UTC)
    text = f"active, ends {whoami.grant_expires_at:%Y-%m-%d %H:%M} UTC, in {in_words(left)}"
    if left < _GRANT_ENDS_SOON:
        return Finding("yellow", text, "ask its admin whether it is to go on")
    return Finding("green", text)


def _scope(peer: Peer, whoami: Whoami) -> Finding:
    words = "; ".join(whoami.scope_in_words or ())
    changed = sorted(
        key for key in {*peer.scope, *whoami.scope} if peer.scope.get(key) != whoami.scope.get(key)
    )
    if changed:
        return Finding("yellow", f"changed since it was last asked ({', '.join(changed)}): {words}", "noted")
    return Finding("green", words or "as it was")


def _clock(whoami: Whoami, before: float, after: float) -> Finding:
    if whoami.time is None:
        return Finding("yellow", "it does not tell its time", "let its admin upgrade it")
    skew = whoami.time.timestamp() - (before + after) / 2
    text = f"{abs(skew):.3f} s {'ahead' if skew > 0 else 'behind'} of ours (± {(after - before) / 2:.3f} s)"
    if abs(skew) <= _SKEW_NOTED:
        return Finding("green", text)
    return Finding(
        "red" if abs(skew) > _SKEW_TOO_MUCH else "yellow", text, "let both machines take their time from NTP"
    )
