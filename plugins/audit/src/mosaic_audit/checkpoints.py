"""Signed checkpoints: all rows since the one before, under one Merkle root and one signature.

A checkpoint's root is over its spans, and a span's over the hashes of its rows; so a row can be shown to be in
a checkpoint with two short paths, and the log is checked one stream at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mosaic_audit.chain import START
from mosaic_audit.key import load_key, make_key, public
from mosaic_audit.merkle import Tree, root_of
from mosaic_hookspecs.audit import AuditCheckpoint
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Database, Host, Queries
from mosaic_hookspecs.sql import load_queries

MOST = 100_000  # rows in one checkpoint: about a second, and none of it in memory
_PAGE = 5000  # rows

_sql = load_queries("mosaic_audit", "queries.sql")


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``first`` to ``last`` of a stream; ``root`` is over their hashes, ``head`` is the last.

    A ``retired`` one stands for all rows up to ``last``, which may be gone.
    """

    stream: UUID
    first: int
    last: int
    head: bytes
    root: bytes
    retired: bool = False

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Span:
        """From a row of the database."""
        return cls(row["stream"], row["first"], row["last"], row["head"], row["root"], row["retired"])

    @property
    def leaf(self) -> bytes:
        """What of it goes into the checkpoint's root."""
        return _canonical(
            {
                "stream": str(self.stream),
                "first": self.first,
                "last": self.last,
                "head": self.head.hex(),
                "root": self.root.hex(),
                "retired": self.retired,
            }
        ).encode()


def spans_root(spans: Sequence[Span]) -> bytes:
    """Merkle root over spans, in the one order they have."""
    ordered = sorted(spans, key=lambda span: (span.retired, span.stream, span.last))
    return root_of(span.leaf for span in ordered)


async def sign_all(host: Host) -> AuditCheckpoint | None:
    """Have every row covered; return the latest checkpoint, or None if there is none and nothing to sign.

    Raises :class:`Unavailable`, and :class:`ConfigError` if the key is not this gateway's.
    """
    while True:
        async with host.database.transaction() as sql:
            await sql.execute(_sql.lock_checkpoints)
            spans = await _waiting(sql)
            if not spans:
                return await head(sql)
            latest = await sign(sql, host, spans)
        if sum(span.last - span.first + 1 for span in spans) < MOST:
            return latest


async def head(sql: Queries) -> AuditCheckpoint | None:
    """The latest."""
    row = await sql.fetchrow(_sql.head)
    return AuditCheckpoint(row["payload"], row["signature"]) if row else None


async def numbered(database: Database, number: int) -> AuditCheckpoint | None:
    """One by its number."""
    row = await database.fetchrow(_sql.checkpoint, number)
    return AuditCheckpoint(row["payload"], row["signature"]) if row else None


async def sign(sql: Queries, host: Host, spans: Sequence[Span]) -> AuditCheckpoint:
    """Add the next checkpoint, in the caller's transaction, which holds the lock."""
    before = await head(sql)
    key = await _signing_key(sql, host, first=before is None)
    number, at = (before.number + 1 if before else 1), datetime.now(UTC)
    payload = _canonical(
        {
            "at": at.isoformat(timespec="microseconds"),
            "gateway": host.gateway_name,
            "key": sha256(public(key)).hexdigest(),
            "number": number,
            "prev": (before.hash if before else START).hex(),
            "root": spans_root(spans).hex(),
            "rows": sum(span.last - span.first + 1 for span in spans if not span.retired),
        }
    )
    signature = key.sign(AuditCheckpoint(payload, b"").signed)
    await sql.execute(_sql.add_checkpoint, number, at, payload, signature)
    values = [(number, s.stream, s.first, s.last, s.head, s.root, s.retired) for s in spans]
    await sql.executemany(_sql.add_span, values)
    return AuditCheckpoint(payload, signature)


async def _signing_key(sql: Queries, host: Host, *, first: bool) -> Ed25519PrivateKey:
    key = await load_key(sql, host.sealer)
    if key is None and not first:
        raise ConfigError(
            "the key that the audit log's checkpoints were signed with is gone", remedy="restore the database"
        )
    return key or await make_key(sql, host.sealer)


async def _waiting(sql: Queries) -> list[Span]:
    """What no checkpoint covers, at most so many rows."""
    spans: list[Span] = []
    left = MOST
    for row in await sql.fetch(_sql.uncovered):
        if span := await _span(sql, row["stream"], row["covered"], left):
            spans.append(span)
            left -= span.last - span.first + 1
        if left <= 0:
            break
    return spans


async def _span(sql: Queries, stream: UUID, covered: int, most: int) -> Span | None:
    tree, last, head = Tree(), covered, b""
    while page := await sql.fetch(_sql.hashes, stream, last, min(_PAGE, most - tree.leaves)):
        for row in page:
            tree.add(row["hash"])
        last, head = page[-1]["seq"], page[-1]["hash"]
        if tree.leaves >= most:
            break
    return Span(stream, covered + 1, last, head, tree.root()) if tree.leaves else None


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
