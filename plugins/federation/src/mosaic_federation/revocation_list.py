"""The authority's revocation list, kept in the database: one look at the authority serves all processes, also later.

It is the second layer: whatever ends a certificate here is refused at once by the grant. The list adds what was
revoked at the authority alone. An authority that is gone leaves its last list in use until the list's own end
(``nextUpdate``), and from then on no new connection is let in: how long it may be gone is the authority's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_hookspecs.certificates import UNREADABLE
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries

_sql = load_queries("mosaic_federation", "serving.sql")


async def revocation_list(host: Host) -> bytes | None:
    """The last one, DER; None from an authority that keeps none.

    Raises :class:`Unavailable` if there never was one and the authority cannot be asked.
    """
    root = await _root(host)
    row = await host.database.fetchrow(_sql.revocation_list, root)
    if row is None:
        await fetch_list(host)
        row = await host.database.fetchrow(_sql.revocation_list, root)
    return row["list"] if row else None


async def listed(host: Host, serials: Iterable[str]) -> list[str]:
    """Those of these serials (lower-case hex) that the last list revokes."""
    row = await host.database.fetchrow(_sql.revocation_list, await _root(host))
    if row is None or row["list"] is None:
        return []
    found = x509.load_der_x509_crl(row["list"])
    return [each for each in serials if found.get_revoked_certificate_by_serial_number(int(each, 16))]


async def fetch_list(host: Host) -> None:
    """Ask the authority. Raises :class:`Unavailable`, and for what is no list, too."""
    found = await host.authority().crl()
    at = datetime.now(UTC) if found is None else _this_update(found)
    await host.database.execute(_sql.revocation_list_store, await _root(host), found, at)


async def _root(host: Host) -> bytes:
    root = x509.load_pem_x509_certificate(await host.authority().root())
    return sha256(root.public_bytes(Encoding.DER)).digest()


def _this_update(found: bytes) -> datetime:
    try:
        return x509.load_der_x509_crl(found).last_update_utc
    except UNREADABLE:
        raise Unavailable("the certificate authority sends a revocation list that cannot be read") from None
