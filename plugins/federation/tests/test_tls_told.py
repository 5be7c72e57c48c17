"""A gateway that TLS does not let in learns from the other's listener why, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_embedded_ca.certificates import Root, make_root, make_server
from mosaic_federation.answers import Unreachable
from mosaic_federation.keys import key_pem, new_key
from mosaic_federation.links import links_of
from mosaic_federation.peers import Peer
from mosaic_gateway.serving import Endpoint, Limits, bind, serve
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import TLS, Listener
from stub_peers import StubPeer, new_root, pem

ROOT = new_root()


def crl(serial: int, ends: timedelta) -> bytes:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder(
        ROOT.certificate.subject, now - timedelta(hours=2), now + ends
    )
    entry = x509.RevokedCertificateBuilder(serial, now - timedelta(hours=2)).build()
    signed = builder.add_revoked_certificate(entry).sign(ROOT.key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def trusting(root: Root, list_ends: timedelta | None = None) -> Callable[[Peer], TLS]:
    """What a listener has that lets in who shows a certificate of ``root``, but for those on a list."""

    def make(peer: Peer) -> TLS:
        key, until = new_key(), datetime.now(UTC) + timedelta(days=1)
        leaf = make_server(ROOT, key.public_key(), names=["127.0.0.1"], not_after=until)
        listed = None if list_ends is None else crl(int(peer.serial, 16), list_ends)
        return TLS(pem(leaf), key_pem(key), client_roots=pem(root.certificate), client_crl=listed)

    return make


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("who is not let in reached the application")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (trusting(ROOT, timedelta(hours=1)), "it says that our certificate is revoked"),
        (trusting(ROOT, timedelta(hours=-1)), "or its authority's revocation list, has expired"),
        (trusting(make_root("other", 1)), "it does not know the authority that signed our certificate"),
        (trusting(new_root()), "it does not know the authority that signed our certificate"),
    ],
    ids=["revoked", "old-list", "other-authority", "its-namesake"],
)
async def test_who_is_not_let_in_is_told_why(world: Any, made: Callable[[Peer], TLS], says: str) -> None:
    async def tls() -> TLS:
        return made(peer)

    listener = Listener("federation", "127.0.0.1", 0, tls=tls)
    bound, stop = bind(listener), asyncio.Event()
    peer = await StubPeer("work", ROOT).enroll(world.host, port=bound.getsockname()[1])
    serving = asyncio.create_task(
        serve([Endpoint(listener, nothing, bound)], stop=stop, limits=Limits(drain=0.1))
    )
    links = links_of(world.host)
    try:
        for ask in (
            lambda: links.get(peer, "whoami"),
            lambda: links.post(peer, "audit", "head", body={"said": "x" * 100_000}),
        ):
            for _ in range(5):
                with pytest.raises(Unavailable) as caught:
                    await ask()
                assert says in caught.value.detail
                assert not isinstance(caught.value, Unreachable), "what was kept is shown to nobody"
    finally:
        stop.set()
        await serving
