"""What both gateways rely on: certificates that say what the authority decided, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from mosaic_embedded_ca.authority import EmbeddedCA
from mosaic_embedded_ca.plugin import mosaic_migrations
from mosaic_embedded_ca.settings import Settings
from mosaic_gateway.database import Pool
from mosaic_gateway.sealing import Keyring, Keys
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.testing import AuthorityContract
from mosaic_hookspecs.testing.authorities import issue, request
from mosaic_hookspecs.types import MigrationSet

GRANT = UUID("11111111-2222-4333-8444-555555555555")


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return list(mosaic_migrations())


def host(pool: Pool | None, tier: str = "local") -> Any:
    return SimpleNamespace(
        tier=SimpleNamespace(name=tier),
        database=pool,
        sealer=Keyring(Keys("k1", {"k1": b"s" * 32})),
        settings=lambda model: model(),
    )


@pytest.fixture
def authority(pool: Pool) -> EmbeddedCA:
    return EmbeddedCA(host(pool))


class TestEmbeddedCA(AuthorityContract):
    """As every authority has to be."""


async def test_openssl_accepts_the_chain_by_its_strict_rules(authority: EmbeddedCA, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl: apt-get install openssl")
    root, leaf_file = tmp_path / "root", tmp_path / "leaf"
    root.write_bytes(await authority.root())
    server = await authority.issue_server(request(), names=["localhost", "127.0.0.1"])
    for purpose, issued in (("sslclient", await issue(authority)), ("sslserver", server)):
        leaf_file.write_bytes(issued.chain)
        command = [openssl, "verify", "-x509_strict", "-purpose", purpose, "-CAfile", root, leaf_file]
        await asyncio.to_thread(subprocess.run, command, check=True)


async def test_a_certificate_lives_a_day_at_most(authority: EmbeddedCA) -> None:
    assert (await issue(authority)).not_after - datetime.now(UTC) < timedelta(hours=24, seconds=2)


async def test_workers_that_start_together_agree_on_one_root(pool: Pool) -> None:
    roots = await asyncio.gather(*(EmbeddedCA(host(pool)).root() for _ in range(8)))
    assert len(set(roots)) == 1
    assert await pool.fetchval("SELECT count(*) FROM embedded_ca_authority") == 1


async def test_the_roots_key_is_sealed_and_bound_to_its_place(pool: Pool, authority: EmbeddedCA) -> None:
    await authority.root()
    sealed = await pool.fetchval("SELECT sealed_key FROM embedded_ca_authority")
    ring = Keyring(Keys("k1", {"k1": b"s" * 32}))
    assert ring.open(sealed, place="embedded_ca_authority/1/key").startswith(b"\x30")  # DER
    assert b"PRIVATE KEY" not in sealed
    with pytest.raises(ConfigError):
        ring.open(sealed, place="elsewhere")


async def test_issued_and_revoked_serials_are_on_record(pool: Pool, authority: EmbeddedCA) -> None:
    issued = await issue(authority, grant_id=GRANT)
    await authority.revoke(issued.serial)
    row = await pool.fetchrow("SELECT * FROM embedded_ca_certificates WHERE serial = $1", issued.serial)
    assert row is not None
    assert (row["grant_id"], row["not_after"]) == (GRANT, issued.not_after)
    first = row["revoked_at"]
    await authority.revoke(issued.serial)
    assert await pool.fetchval("SELECT revoked_at FROM embedded_ca_certificates") == first


def test_the_federated_tier_is_refused_at_composition() -> None:
    with pytest.raises(ConfigError, match="federated"):
        EmbeddedCA(host(None, tier="federated"))


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="client_hours"):
        Settings(client_hours=0)
