"""Answers of peers, kept sealed in the database: they outlive the process, and commands find them too.

Not in the tier's cache: that keeps a number of values, not of bytes, and in the local tier one process's alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from mosaic_federation.peers import Peer, check_steps
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries

_sql = load_queries("mosaic_federation", "peers.sql")

_MOST = 1000  # answers of one peer
_LARGEST = 8  # of one peer's bytes, the part that one answer may take is 1 / this


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a peer. Who of our users asks does not matter: whoever may, is shown the same.

    Raises :class:`NotFound` for a step that no gateway can have.
    """

    peer: Peer
    steps: Sequence[str]
    params: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        check_steps(self.peer, self.steps)

    @property
    def path(self) -> str:
        """``tasks``, ``tasks/search`` or ``tasks/<id>``."""
        return "/".join(self.steps)

    @property
    def is_of_one(self) -> bool:
        """Whether it asks for one row."""
        return len(self.steps) > 1 and self.steps[1] != "search"

    @property
    def key(self) -> str:
        """The same for the same question with the same grant, and for no other: each enrollment makes another peer."""
        whole = [str(self.peer.id), list(self.steps), sorted(self.params)]
        return sha256(json.dumps(whole).encode()).hexdigest()


class Kept:
    """Answers of before."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def find(self, question: Question, *, youngest: float) -> tuple[bytes, float] | None:
        """An answer of less than ``youngest`` seconds, and its age."""
        row = await self._host.database.fetchrow(_sql.answer_find, question.key, youngest)
        try:
            return row and (self._host.sealer.open(row["sealed_body"], place=_place(question)), row["age"])
        except ConfigError:  # sealed with a key that is no more, or changed by someone
            return None

    async def keep(self, question: Question, body: bytes) -> None:
        """Keep an answer, and no more bytes of its peer than the config allows."""
        most = self._host.settings(Settings).reading.cache_bytes
        if len(body) * _LARGEST > most:
            return
        peer = question.peer
        sealed = self._host.sealer.seal(body, place=_place(question))
        whose = (question.key, peer.id, question.path, sealed, peer.serial)
        await self._host.database.execute(_sql.answer_keep, *whose, _MOST, most)

    async def forget(self, question: Question) -> None:
        """The peer has no such row, or shares no such resource: then nothing of it is shown any more."""
        path = question.path if question.is_of_one else question.steps[0]
        await self._host.database.execute(_sql.answers_forget_path, question.peer.id, path)


def _place(question: Question) -> str:
    return f"federation_peer_answers/{question.key}/body"
