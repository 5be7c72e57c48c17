"""What the gateway keeps of the authority: the provisioners' private keys, sealed, and the pinned root."""

from __future__ import annotations

import json
from collections.abc import Sequence

from joserfc.jwk import ECKey

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Queries, Sealer
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import SealedColumn
from mosaic_step_ca.tokens import Provisioner, Purpose

SEALED = SealedColumn("step_ca_provisioners", "sealed_key", "purpose", "step_ca_provisioners/{purpose}/key")

_sql = load_queries("mosaic_step_ca", "queries.sql")


async def load_provisioner(sql: Queries, sealer: Sealer, purpose: Purpose) -> Provisioner:
    """Raises :class:`ConfigError` where `mosaic federation ca init` was not run, or the key cannot be opened."""
    row = await sql.fetchrow(_sql.provisioner, purpose)
    if row is None:
        raise ConfigError(
            "this gateway has no key of the certificate authority", remedy="run `mosaic federation ca init`"
        )
    key = json.loads(sealer.open(row["sealed_key"], place=SEALED.place_of(purpose)))
    return Provisioner(purpose, row["name"], ECKey.import_key(key))


async def known_provisioners(sql: Queries) -> dict[str, str]:
    """Key id and name of each, without opening them."""
    return {row["kid"]: row["name"] for row in await sql.fetch(_sql.provisioners)}


async def store_authority(
    sql: Queries, sealer: Sealer, *, root: bytes, fingerprint: str, provisioners: Sequence[Provisioner]
) -> None:
    """Keep a new authority's keys and root. Fails where there are keys already."""
    for each in provisioners:
        plain = json.dumps(each.key.as_dict(private=True)).encode()
        sealed = sealer.seal(plain, place=SEALED.place_of(each.purpose))
        await sql.execute(_sql.store_provisioner, each.purpose, each.name, each.kid, sealed)
    await store_root(sql, fingerprint, root)


async def lock_provisioners(sql: Queries) -> None:
    """Let nobody else change the keys until this transaction ends."""
    await sql.execute(_sql.lock_provisioners)


async def forget_provisioners(sql: Queries) -> None:
    """Erase the keys of the authority there was. Its certificates stay good until they end, or their grants do."""
    await sql.execute(_sql.forget_provisioners)


async def load_root(sql: Queries, fingerprint: str) -> bytes | None:
    """The root with this fingerprint, PEM, if it was seen before."""
    found: bytes | None = await sql.fetchval(_sql.root, fingerprint)
    return found


async def store_root(sql: Queries, fingerprint: str, certificate: bytes) -> None:
    """Keep a root, PEM, under its fingerprint."""
    await sql.execute(_sql.store_root, fingerprint, certificate)
