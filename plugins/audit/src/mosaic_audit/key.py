"""The key that checkpoints are signed with (Ed25519, RFC 8032): in the database, sealed with the gateway's keys."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Protocol
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Queries, Sealer
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import SealedColumn

COLUMN = SealedColumn("federation_audit_keys", "sealed_key", "id", "federation_audit_keys/{id}/key")
_PREFIX = "ed25519:"
_LENGTH = 32  # bytes

_sql = load_queries("mosaic_audit", "queries.sql")


class Keeper(Protocol):
    """What is needed of the host: whose key it is, and what seals it."""

    gateway_name: str
    sealer: Sealer


async def load_key(sql: Queries, sealer: Sealer) -> Ed25519PrivateKey | None:
    """The key, or None if there is none yet.

    Raises :class:`ConfigError` if what is stored was not sealed by this gateway: who only writes to the
    database cannot put another key in its place.
    """
    row = await sql.fetchrow(_sql.key)
    return None if row is None else _opened(row, sealer)


async def make_key(sql: Queries, sealer: Sealer) -> Ed25519PrivateKey:
    """The key, made now. The caller keeps others from doing the same."""
    key, number = Ed25519PrivateKey.generate(), uuid4()
    sealed = sealer.seal(key.private_bytes_raw(), place=COLUMN.place_of(number))
    await sql.execute(_sql.add_key, number, public(key), sealed)
    return key


def _opened(row: Any, sealer: Sealer) -> Ed25519PrivateKey:
    place = COLUMN.place_of(row["id"])
    key = Ed25519PrivateKey.from_private_bytes(sealer.open(row["sealed_key"], place=place))
    if public(key) != row["public_key"]:
        raise ConfigError(
            f"{place}: is not the key of the public one beside it", remedy="restore the database"
        )
    return key


def public(key: Ed25519PrivateKey) -> bytes:
    """The public half, 32 bytes."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_text(key: bytes) -> str:
    """A public key as it is printed."""
    return _PREFIX + b64encode(key).decode()


def read_key(text: str) -> bytes:
    """The reverse. Raises ValueError."""
    key = b64decode(text.removeprefix(_PREFIX), validate=True)
    if not text.startswith(_PREFIX) or len(key) != _LENGTH:
        raise ValueError(f"not a key as `mosaic audit key` prints it: {_PREFIX} and 44 characters")
    return key
