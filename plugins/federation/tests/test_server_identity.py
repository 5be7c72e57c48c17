"""The listener's certificate: one for all workers, sealed, and signed anew before it ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mosaic_embedded_ca import authority
from mosaic_federation.server_identity import listener_tls, renew_identity


async def test_workers_that_start_together_share_one_certificate(world: Any) -> None:
    found = await asyncio.gather(*(listener_tls(world.host) for _ in range(6)))
    assert len({tls.chain for tls in found}) == 1
    tls = found[0]
    leaf = x509.load_pem_x509_certificate(tls.chain)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert load_pem_private_key(tls.key, None).public_key() == leaf.public_key()
    assert tls.client_roots == await world.host.authority().root()


async def test_a_certificate_is_kept_until_the_last_third_of_its_life(world: Any, monkeypatch: Any) -> None:
    first = await listener_tls(world.host)
    await renew_identity(world.host)
    assert (await listener_tls(world.host)).chain == first.chain
    await world.pool.execute("DELETE FROM federation_server_identity")
    monkeypatch.setattr(authority, "_SERVER_LIFE", timedelta(seconds=20))  # of 80: it began a minute ago
    short = await listener_tls(world.host)
    monkeypatch.undo()
    assert (await listener_tls(world.host)).chain == short.chain, "still valid: not asked for here"
    await asyncio.gather(*(renew_identity(world.host) for _ in range(4)))
    assert (await listener_tls(world.host)).chain != short.chain


async def test_what_is_over_is_signed_anew_at_once(world: Any) -> None:
    first = await listener_tls(world.host)
    await world.pool.execute("UPDATE federation_server_identity SET not_after = now() - interval '1 minute'")
    assert (await listener_tls(world.host)).chain != first.chain


async def test_a_valid_certificate_does_not_need_the_authority(world: Any, monkeypatch: Any) -> None:
    first = await listener_tls(world.host)
    monkeypatch.setattr(authority.EmbeddedCA, "issue_server", None)
    monkeypatch.setattr(authority.EmbeddedCA, "crl", None)
    assert await listener_tls(world.host) == first


async def test_its_key_is_sealed_and_never_shown(world: Any) -> None:
    tls = await listener_tls(world.host)
    sealed = await world.pool.fetchval("SELECT sealed_key FROM federation_server_identity")
    assert b"PRIVATE KEY" in tls.key
    assert b"PRIVATE KEY" not in sealed
    assert "PRIVATE" not in repr(tls)
