"""Certificates for peers, as the authority signs them: believed only once they hold the ids that were asked for."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_federation.oids import read_claims
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Forbidden, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import IssuedCertificate

log = logging.getLogger("mosaic.federation")

_PATIENCE = 15.0  # seconds, for the authority
_ENDLESS = timedelta(days=3650)  # asked of the authority for a grant without end; it grants less


async def issue(
    host: Host, csr: bytes, *, grant_id: UUID, subject_id: UUID, expires_at: datetime | None
) -> tuple[IssuedCertificate, bytes]:
    """The certificate for the key of a PEM CSR, and the SHA-256 of that key. It ends with the grant or before.

    Raises :class:`Invalid` for a bad CSR, :class:`Unavailable` if the authority is, or signs something else.
    """
    arc = host.settings(Settings).oid_arc
    try:
        async with asyncio.timeout(_PATIENCE):
            issued = await host.authority().issue_client(
                csr,
                grant_id=grant_id,
                subject_id=subject_id,
                oid_arc=arc,
                not_after=expires_at or datetime.now(UTC) + _ENDLESS,
            )
        leaf = x509.load_pem_x509_certificate(issued.chain)
        claims = read_claims(leaf.public_bytes(Encoding.DER), arc)
    except TimeoutError:
        raise Unavailable("the certificate authority does not answer") from None
    except Forbidden:
        claims = None
    if claims is None or (claims.grant_id, claims.subject_id) != (grant_id, subject_id):
        log.error("the authority signs other ids than it is asked for: compare its template and oid_arc")
        raise Unavailable("the certificate authority is not set up for this gateway")
    return issued, claims.key_sha256
