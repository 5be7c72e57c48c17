"""Enrollment as the gateway that shares: an offer is looked at freely and redeemed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from mosaic_federation.announced import scope_for_peer, words_for_peer
from mosaic_federation.attempts import Attempt, log
from mosaic_federation.certificates import try_to_tell_authority
from mosaic_federation.grants import fingerprint, token_hash
from mosaic_federation.issuing import issue
from mosaic_federation.notices import tell_changed_by_id
from mosaic_federation.scopes import parse_scope
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Conflict, Gone, Invalid, MosaicError, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import IssuedCertificate

_CLAIM = 20.0  # seconds: longer than the authority is waited for, so that a claim ends before another begins
_POLL, _POLL_AT_MOST = 0.1, 2.0  # seconds between two looks: twice as long each time
_TRIPPED = "its enrollment URL was used a second time"

_sql = load_queries("mosaic_federation", "enrollment.sql")
_CLAIM_AND_READ = _sql.token_claim.replace("{offer}", _sql.offer)


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
        try:
            async with self._turn(attempt.hashed):
                row, claim = await self._claim(attempt)
                return await self._redeem_claimed(attempt, row, claim, csr, name)
        except MosaicError as refusal:
            row = await self._known(attempt)
            if not (isinstance(refusal, Gone) and await self._trip(attempt, row)):
                await attempt.unchanged(row, refusal.code)
            raise

    async def _known(self, attempt: Attempt) -> Any:
        row = await self._host.database.fetchrow(_sql.offer, attempt.hashed)
        if row is None:
            await attempt.unknown()
            raise _unknown()
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
        clock = asyncio.get_running_loop().time
        claim, pause, deadline = uuid4(), _POLL, clock() + _CLAIM
        while True:
            row = await self._host.database.fetchrow(_CLAIM_AND_READ, attempt.hashed, claim, _CLAIM)
            if row is None:
                raise _unknown()
            if row["claimed"]:
                return row, claim
            _check(row)
            if (left := deadline - clock()) <= 0:
                raise _busy()
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _POLL_AT_MOST)

    async def _redeem_claimed(
        self, attempt: Attempt, row: Any, claim: UUID, csr: bytes, name: str
    ) -> dict[str, Any]:
        issued = None
        try:
            _check(row)
            answer = await self._describe(row)
            issued, key = await self._sign(row, csr)
            answer |= await self._certificate(issued)
            await attempt.changed(row, "ok", issued.serial)  # first: without its row nothing is spent
            tell = (row["grant_id"], attempt.hashed, claim, issued.serial, key, issued.not_after, name)
            replaces = await self._spend(*tell)
        except BaseException:  # cancellation, too: what was signed is given to nobody
            with suppress(MosaicError):
                await self._host.database.execute(_sql.token_unclaim, attempt.hashed, claim)
                if issued is not None:
                    await self._host.authority().revoke(issued.serial)
            raise
        await tell_changed_by_id(self._host, row["grant_id"], "enrolled")
        if replaces:
            await try_to_tell_authority(self._host)
        return answer

    async def _sign(self, row: Any, csr: bytes) -> tuple[IssuedCertificate, bytes]:
        """The certificate, and the SHA-256 of its key."""
        ids = {"grant_id": row["grant_id"], "subject_id": row["subject_id"]}
        try:
            return await issue(self._host, csr, **ids, expires_at=row["grant_expires_at"])
        except Unavailable as error:
            error.detail += "; the token is not spent"
            raise

    async def _spend(self, *certificate: Any) -> bool:
        """Make this the grant's one certificate. True: there was one before, refused from now on."""
        spent = await self._host.database.fetchrow(_sql.token_spend, *certificate)
        if spent is None:
            raise _gone("this enrollment URL was taken back")
        if not spent["stored"]:
            raise Conflict("this key has a certificate already", remedy="make a new key for each enrollment")
        return spent["replaced"] is not None

    async def _trip(self, attempt: Attempt, row: Any) -> bool:
        """If the token was spent, quarantine its grant: two have its URL, and one of them has the certificate."""
        serial = await self._host.database.fetchval(_sql.grant_trip, attempt.hashed, _TRIPPED)
        if serial is None:
            return False
        log.warning("grant %s is quarantined: its enrollment URL was used a second time", row["grant_id"])
        await attempt.changed(row, "quarantined", serial)
        await tell_changed_by_id(self._host, row["grant_id"], "quarantined")
        return True

    async def _describe(self, row: Any) -> dict[str, Any]:
        try:
            scope = parse_scope(row["scope"])
        except Invalid:  # what is wrong with it is for this gateway's admin
            raise Unavailable("the grant's scope is not one that this gateway can keep to") from None
        told, named = scope_for_peer(scope), scope.include_teams not in ("all", ())
        teams = await self._host.identity.teams_of(row["subject_id"]) if named else ()
        return {
            "gateway": self._host.gateway_name,
            "peer": row["peer_name"],
            "grant_id": str(row["grant_id"]),
            "subject": {"id": str(row["subject_id"]), "username": row["subject"]},
            "resources": told["resources"],
            "scope": told,
            "scope_in_words": words_for_peer(scope, teams),
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


def _unknown() -> NotFound:
    return NotFound(
        "this enrollment URL is not known here",
        remedy="check that it was copied whole; else ask the gateway's admin for a new one",
    )


def _busy() -> Unavailable:
    return Unavailable("this enrollment URL is being redeemed by somebody else at this moment")
