"""Enrollment as the gateway that shares: an offer is looked at freely and redeemed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mosaic_federation.announced import scope_for_peer, words_for_peer
from mosaic_federation.attempts import Attempt, log
from mosaic_federation.certificates import try_to_tell_authority
from mosaic_federation.grants import fingerprint, token_hash
from mosaic_federation.oids import read_claims
from mosaic_federation.scopes import parse_scope
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Conflict, Forbidden, Gone, Invalid, MosaicError, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import IssuedCertificate

_PATIENCE = 15.0  # seconds, for the authority
_CLAIM = 20.0  # seconds: longer than the patience, so that a claim ends before another begins
_POLL = 0.1  # seconds
_TRIPPED = "its enrollment URL was used a second time"
_ENDLESS = timedelta(days=3650)  # asked of the authority for a grant without end; it grants less

_sql = load_queries("mosaic_federation", "enrollment.sql")


class Enrollment:
    """Shows and redeems offers.

    A token is looked up by its SHA-256 in an index: how long that takes tells of the hash at most, and nobody
    can choose a token by its hash. So the look-up need not be constant in time to tell nothing of tokens.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def offer(self, token: str, *, request_id: str = "") -> dict[str, Any]:
        """What the token's grant would let its peer see. Consumes nothing.

        Raises :class:`NotFound` for an unknown token, :class:`Gone` for one that can no longer be used.
        """
        attempt = Attempt(self._host, token_hash(token), "offer", request_id)
        row = await self._known(attempt)
        try:
            _check(row)
            offered = await self._describe(row)
        except MosaicError as refusal:
            await attempt.unchanged(row, refusal.code)
            raise
        await attempt.unchanged(row, "ok")
        return offered

    async def redeem(self, token: str, *, csr: bytes, name: str, request_id: str) -> dict[str, Any]:
        """Spend the token and activate its grant for the key of ``csr``, both or neither.

        Raises as :meth:`offer`, :class:`Invalid` for a bad CSR, :class:`Conflict` for a key that was used before,
        and :class:`Unavailable` when the authority or the audit log is; in each of these cases the token is not
        spent. A token that was spent before is :class:`Gone`, and its grant quarantined.
        """
        attempt = Attempt(self._host, token_hash(token), "enroll", request_id)
        row = await self._known(attempt)
        try:
            async with self._turn(attempt.hashed):
                row, claim = await self._claim(attempt)
                return await self._redeem_claimed(attempt, row, claim, csr, name)
        except MosaicError as refusal:
            if not (isinstance(refusal, Gone) and await self._trip(attempt, row)):
                await attempt.unchanged(row, refusal.code)
            raise

    async def _known(self, attempt: Attempt) -> Any:
        row = await self._host.database.fetchrow(_sql.offer, attempt.hashed)
        if row is None:
            await attempt.unknown()
            raise NotFound(
                "this enrollment URL is not known here",
                remedy="check that it was copied whole; else ask the gateway's admin for a new one",
            )
        return row

    @asynccontextmanager
    async def _turn(self, hashed: bytes) -> AsyncIterator[None]:
        """One redemption of a token at a time in this process; between processes its claim decides."""
        lock = self._turns.setdefault(hashed, asyncio.Lock())
        try:
            async with asyncio.timeout(_CLAIM):
                await lock.acquire()
        except TimeoutError:
            raise _busy() from None
        try:
            yield
        finally:
            lock.release()

    async def _claim(self, attempt: Attempt) -> tuple[Any, UUID]:
        """Have the token for :data:`_CLAIM` seconds. It lapses by itself if this process dies meanwhile."""
        claim, deadline = uuid4(), asyncio.get_running_loop().time() + _CLAIM
        while asyncio.get_running_loop().time() < deadline:
            row = await self._known(attempt)
            _check(row)
            if await self._host.database.fetchval(_sql.token_claim, attempt.hashed, claim, _CLAIM):
                return row, claim
            await asyncio.sleep(_POLL)
        raise _busy()

    async def _redeem_claimed(
        self, attempt: Attempt, row: Any, claim: UUID, csr: bytes, name: str
    ) -> dict[str, Any]:
        issued = None
        try:
            answer = await self._describe(row)
            issued = await self._sign(row, csr)
            answer |= await self._certificate(issued)
            await self._spend(attempt, row, claim, issued, name)
        except BaseException:  # cancellation, too: what was signed is given to nobody
            with suppress(MosaicError):
                await self._host.database.execute(_sql.token_unclaim, attempt.hashed, claim)
                if issued is not None:
                    await self._host.authority().revoke(issued.serial)
            raise
        await try_to_tell_authority(self._host)
        return answer

    async def _sign(self, row: Any, csr: bytes) -> IssuedCertificate:
        ids = (row["grant_id"], row["subject_id"])
        arc = self._host.settings(Settings).oid_arc
        ends = row["grant_expires_at"] or datetime.now(UTC) + _ENDLESS
        try:
            async with asyncio.timeout(_PATIENCE):
                issued = await self._host.authority().issue_client(
                    csr, grant_id=ids[0], subject_id=ids[1], oid_arc=arc, not_after=ends
                )
            claims = read_claims(_leaf(issued).public_bytes(Encoding.DER), arc)
        except TimeoutError:
            raise Unavailable("the certificate authority does not answer; the token is not spent") from None
        except Forbidden:
            claims = None
        if claims is None or (claims.grant_id, claims.subject_id) != ids:
            log.error("the authority signs other ids than it is asked for: compare its template and oid_arc")
            raise Unavailable(
                "the certificate authority is not set up for this gateway; the token is not spent"
            )
        return issued

    async def _spend(
        self, attempt: Attempt, row: Any, claim: UUID, issued: IssuedCertificate, name: str
    ) -> None:
        """Make ``issued`` the grant's one certificate. The one before it, if any, is refused from then on."""
        grant_id, serial, not_after = row["grant_id"], issued.serial, issued.not_after
        async with self._host.database.transaction() as sql:
            grant = await sql.fetchrow(_sql.grant_lock, grant_id)
            if grant is None or await sql.fetchval(_sql.token_spend, attempt.hashed, claim, serial) is None:
                raise _gone("this enrollment URL was taken back")
            key = _key_hash(issued)
            if await sql.fetchval(_sql.certificate_store, serial, grant_id, key, not_after) is None:
                raise Conflict(
                    "this key has a certificate already", remedy="make a new key for each enrollment"
                )
            await sql.execute(_sql.certificate_end, grant["serial"])
            await sql.execute(_sql.grant_enrolled, grant_id, serial, not_after, name)
            await attempt.changed(row, "ok", serial)

    async def _trip(self, attempt: Attempt, row: Any) -> bool:
        """If the token was spent, quarantine its grant: two have its URL, and one of them has the certificate."""
        serial = await self._host.database.fetchval(_sql.grant_trip, attempt.hashed, _TRIPPED)
        if serial is None:
            return False
        log.warning("grant %s is quarantined: its enrollment URL was used a second time", row["grant_id"])
        await attempt.changed(row, "quarantined", serial)
        return True

    async def _describe(self, row: Any) -> dict[str, Any]:
        user = await self._host.identity.user(row["subject_id"])
        try:
            scope = parse_scope(row["scope"])
        except Invalid:  # what is wrong with it is for this gateway's admin
            raise Unavailable("the grant's scope is not one that this gateway can keep to") from None
        told = scope_for_peer(scope)
        return {
            "gateway": self._host.gateway_name,
            "peer": row["peer_name"],
            "grant_id": str(row["grant_id"]),
            "subject": {"id": str(user.id), "username": user.username},
            "resources": told["resources"],
            "scope": told,
            "scope_in_words": words_for_peer(scope, await self._host.identity.teams_of(user.id)),
            "expires_at": row["expires_at"].isoformat(),
            "ca_sha256": fingerprint(await self._host.authority().root()),
            "oid_arc": self._host.settings(Settings).oid_arc,
            "url": str(self._host.settings(Settings).url),
        }

    async def _certificate(self, issued: IssuedCertificate) -> dict[str, Any]:
        return {
            "chain": issued.chain.decode("ascii"),
            "ca": (await self._host.authority().root()).decode("ascii"),
            "not_after": issued.not_after.isoformat(),
        }


def _leaf(issued: IssuedCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.chain)


def _key_hash(issued: IssuedCertificate) -> bytes:
    key = _leaf(issued).public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _check(row: Any) -> None:
    reasons = (
        (row["status"] == "revoked", "the grant was revoked"),
        (row["spent"], "this enrollment URL was used already"),
        (row["subject_disabled"], "the grant's subject is no longer a user there"),
        (row["status"] == "quarantined", "the grant is quarantined"),
        (
            row["lapsed"] or row["grant_lapsed"] or row["status"] not in {"pending", "active"},
            "this enrollment URL has expired",
        ),
    )
    for applies, reason in reasons:
        if applies:
            raise _gone(reason)


def _gone(reason: str) -> Gone:
    return Gone(reason, remedy="ask the gateway's admin for a new one: `mosaic federation grant reissue`")


def _busy() -> Unavailable:
    return Unavailable("this enrollment URL is being redeemed by somebody else at this moment")
