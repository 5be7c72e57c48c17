"""Renewal as the gateway that shares: a peer has a new key signed, over mTLS with the certificate it still has.

The new certificate is let in beside the old one until it is first used; see renewal.sql and the gate. So an answer
that is lost on its way locks nobody out: the peer sends the same key again, and is given the same certificate.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Annotated

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mosaic_federation.gate import Admitted
from mosaic_federation.issuing import issue
from mosaic_hookspecs.certificates import key_of
from mosaic_hookspecs.errors import Conflict, Forbidden, Malformed, MosaicError
from mosaic_hookspecs.limits import refuse_key_over
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Answer, IssuedCertificate, Rate

# Each costs the authority a signature; a peer needs one in half the life of a certificate.
_OF_ONE_GRANT = Rate("renewal", limit=10, period=3600)

_sql = load_queries("mosaic_federation", "renewal.sql")


class _Wanted(BaseModel):
    """The body of a renewal."""

    model_config = ConfigDict(
        frozen=True, defer_build=True, extra="ignore", strict=True
    )  # a newer release may say more

    csr: Annotated[str, Field(max_length=8192)]


class Renewal:
    """Issues the next certificate of a grant."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def renew(self, body: Callable[[], Awaitable[bytes]], admitted: Admitted) -> Answer:
        """The chain for the key of the CSR in ``body``; again, for the same key, the same chain.

        Raises :class:`Malformed` and :class:`Invalid` for the CSR, :class:`Conflict` for a key that was used before,
        :class:`Forbidden` if the certificate shown is not the one in use any more, :class:`TooMany`, and
        :class:`Unavailable` when the authority is: then the certificate shown stays as good as it is.
        """
        csr = _csr(await body())
        key = sha256(key_of(csr).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        chain = await self._known(admitted, key)
        return _answer(chain or await self._next(admitted, csr, key))

    async def _known(self, admitted: Admitted, key: bytes) -> bytes | None:
        row = await self._host.database.fetchrow(_sql.renewal_known, key)
        if row is None:
            return None
        if row["grant_id"] != admitted.view.grant_id or row["ended"] or row["chain"] is None:
            raise Conflict("this key has a certificate already", remedy="make a new key for each renewal")
        chain: bytes = row["chain"]
        return chain

    async def _next(self, admitted: Admitted, csr: bytes, key: bytes) -> bytes:
        view = admitted.view
        await refuse_key_over(self._host.limiter(), _OF_ONE_GRANT, view.grant_id.hex, "too many renewals")
        ids = {"grant_id": view.grant_id, "subject_id": view.subject_id}
        issued, _ = await issue(self._host, csr, **ids, expires_at=admitted.expires_at)
        stored = False
        try:
            stored = await self._store(admitted, key, issued)
        finally:
            if not stored:  # cancellation, too: what was signed is given to nobody
                with suppress(MosaicError):
                    await self._host.authority().revoke(issued.serial)
        if stored:
            return issued.chain
        if chain := await self._known(admitted, key):  # the same key was sent twice at once
            return chain
        raise Forbidden(
            "a newer certificate has taken the place of this one", remedy="renew with the certificate in use"
        )

    async def _store(self, admitted: Admitted, key: bytes, issued: IssuedCertificate) -> bool:
        shown = (admitted.view.grant_id, admitted.claims.serial)
        new = (issued.serial, key, issued.not_after, issued.chain)
        return await self._host.database.fetchval(_sql.renewal_store, *shown, *new) is not None


def _csr(body: bytes) -> bytes:
    try:
        return _Wanted.model_validate_json(body).csr.encode()
    except ValidationError:
        raise Malformed("a renewal is asked for with a CSR", remedy='send {"csr": "<PEM>"}') from None


def _answer(chain: bytes) -> Answer:
    return Answer(json.dumps({"chain": chain.decode("ascii")}).encode(), rows=0)
