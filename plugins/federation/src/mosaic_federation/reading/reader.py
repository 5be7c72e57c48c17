"""What a user's question to a peer goes through: what is kept, the breaker, the line, the link."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from mosaic_federation.answers import Unreachable, read_page, read_row
from mosaic_federation.capabilities import adapted
from mosaic_federation.links import links_of
from mosaic_federation.metrics import READS
from mosaic_federation.peers import Peers
from mosaic_federation.reading.kept import Kept, Question
from mosaic_federation.settings import Settings
from mosaic_federation.telling import told_of
from mosaic_hookspecs.errors import MosaicError, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host


@dataclass(frozen=True, slots=True)
class Read:
    """A peer's answer. ``age``: seconds since it was given; ``why_old``: why it is an old one."""

    body: bytes
    age: float = 0.0
    kept: bool = False
    why_old: MosaicError | None = None


class Reader:
    """Asks peers for one user, or for whoever is at the command line. Whether they may is looked at before."""

    def __init__(self, host: Host, user: UUID | None = None) -> None:
        self._host = host
        self._user = user
        self._settings = host.settings(Settings).reading
        self._kept = Kept(host)

    async def read(
        self,
        question: Question,
        *,
        fresh: bool = False,
        ask_first: bool = False,
        within: float | None = None,
        request_id: str = "",
    ) -> Read:
        """The peer's answer; an old one, which says why, only while nobody answers at the peer's address.

        ``fresh`` wants nothing that was kept. ``ask_first``, for who asks by hand, wants it only if the peer cannot be
        reached, and has it dialled even while it is left alone.
        Raises what :meth:`Links.get` does, :class:`Unavailable` for what the peer's release does not know,
        and :class:`TimeoutError` after ``within`` seconds, or as many as :meth:`Flights.time_for` gives the peer.
        """
        known, who = told_of(question.peer), f"peer {question.peer.name!r}"
        params = adapted(known, who, question.steps, question.params)
        question, limits = replace(question, params=params), self._settings
        if limits.cache_seconds and not fresh and not ask_first:
            found = await self._kept.find(question, youngest=limits.cache_seconds)
            if found:
                return self._counted("cache", Read(*found, kept=True))
        within = links_of(self._host).flights.time_for(question.peer, within)
        try:
            read = Read(await self._asked(question, within, request_id, patient=not ask_first))
            return self._counted("peer", read)
        except (Unreachable, TimeoutError) as error:
            old = None if fresh else await self._kept.find(question, youngest=limits.stale_seconds)
            if old is None:
                raise
            return self._counted("stale", Read(*old, kept=True, why_old=_reason(question, error, within)))

    def _counted(self, whence: str, read: Read) -> Read:
        self._host.metrics.add(READS, 1, whence)
        return read

    async def _asked(
        self, question: Question, within: float | None, request_id: str, *, patient: bool
    ) -> bytes:
        async def work() -> bytes:
            return await self._fetch(question, request_id, patient=patient)

        flights = links_of(self._host).flights
        most = self._settings.concurrency
        return await flights.ask(question.peer, question.key, work, most=most, within=within, user=self._user)

    async def _fetch(self, question: Question, request_id: str, *, patient: bool) -> bytes:
        peer = question.peer
        if patient and not await Peers(self._host.database).may_try(peer):
            raise Unreachable(
                f"peer {peer.name!r} is not asked for now: {peer.failure}",
                remedy=f"it is asked again soon; `mosaic federation peer test {peer.name}` asks it at once",
            )
        try:
            body = await links_of(self._host).get(
                peer,
                *question.steps,
                params=question.params,
                request_id=request_id,
                rows_in=partial(_rows_in, question),
            )
        except NotFound:
            await self._kept.forget(question)
            raise
        await self._kept.keep(question, body)
        return body


def _rows_in(question: Question, body: bytes) -> int:
    who = f"peer {question.peer.name!r}"
    if question.is_of_one:
        if not _is_same(question.steps[1], read_row(body, who)["id"]):
            raise Unavailable(f"{who} answers with another row", remedy="ask its admin what is wrong there")
        return 1
    return len(read_page(body, who).items)


def _is_same(asked: str, answered: str) -> bool:
    """A gateway reads an id in whatever way it is written, and writes it in one."""
    try:
        return UUID(asked) == UUID(answered)
    except ValueError:
        return asked == answered


def _reason(question: Question, error: MosaicError | TimeoutError, within: float | None) -> MosaicError:
    if isinstance(error, MosaicError):
        return error
    return Unavailable(f"no answer of peer {question.peer.name!r} within {within:g} s", remedy="ask again")
