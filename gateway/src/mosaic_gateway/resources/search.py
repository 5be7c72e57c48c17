"""Search: the best of the visible rows, by their words, by their meaning, or by both, in one statement."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from mosaic_gateway.config.model import Language
from mosaic_gateway.resources.page import MAX_BYTES
from mosaic_gateway.resources.peers import Reads
from mosaic_gateway.resources.query import refuse
from mosaic_gateway.resources.read import beside, capped, look
from mosaic_gateway.resources.search_query import LANGUAGES, MODES, Mode, ceiling, parse_search
from mosaic_gateway.resources.table import Table, object_sql
from mosaic_gateway.resources.visibility import Sight
from mosaic_hookspecs.errors import Fault, Malformed
from mosaic_hookspecs.protocols import Embedder
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Answer, GrantView, Viewer

_sql = load_queries("mosaic_gateway.resources", "search.sql")
_RANKED = 5000  # rows, the newest: ranking every match of a very common word would take seconds
_EXACT = 5000  # rows that a viewer sees, up to which all of their vectors are compared
_CROWDED = 60.0  # seconds that it is remembered of a viewer to see more than that
_CROWDS = 10_000  # viewers of whom it is, at most
_READ = 5000  # rows that a grant shows, up to which the words of each are made anew where no index has them
# Of a title all is shown, of a longer text what is around the words; and no more is looked through, in characters:
# with ten prefixes the 200 rows of a page take 0.7 s so, and of texts four times as long 5 s.
_TITLE = {"most": 500, "how": "HighlightAll=true"}
_BODY = {"most": 5000, "how": "MaxFragments=2, MinWords=8, MaxWords=24"}
_STORED: Language = "english"  # what search_vector is made with


@dataclass(frozen=True, slots=True)
class Searching:
    """What searches of this gateway have beside the rows: a language, and perhaps vectors."""

    language: Language = "english"
    embedder: Embedder | None = None
    vectors: frozenset[str] = frozenset()  # resources that have a table of them
    walled: bool = False  # row-level security lets peers' searches use no index of words
    crowds: dict[object, float] = field(
        default_factory=dict, compare=False, repr=False
    )  # who sees many rows, until when known

    def modes(self, table: Table) -> tuple[Mode, ...]:
        """Ways to search what is shown. The vector of a row also tells of hidden columns' text: not then."""
        there = table.name in self.vectors and table.search == table.resource.search
        return MODES if there and self.embedder else MODES[:1]


@dataclass(frozen=True, slots=True)
class _Shape:
    """Everything the text of the statement depends on, and nothing else."""

    table: Table
    sight: Sight
    mode: Mode
    language: Language
    highlight: bool
    ceiling: int
    similarity: float
    crowded: bool  # the nearest vectors are found by their index
    walled: bool  # the words are found by no index
    at: int  # number of the first of the search's own parameters


async def search_rows(
    database: Reads, searching: Searching, table: Table, viewer: Viewer, params: Mapping[str, str]
) -> Answer:
    """The best visible matches. Raises :class:`NotFound` and :class:`Malformed`."""
    values: list[object] = []
    table, sight = look(table, viewer, values)
    if not table.search:
        raise Malformed(f"{table.name} has no text to search.", remedy="use filters instead")
    modes = searching.modes(table)
    search = parse_search(params, modes=modes, language=searching.language, beside=beside(viewer))
    if isinstance(viewer, GrantView) and search.mode != "vector":
        await _refuse_unindexed(database, table, sight, search.language, values)
    crowded = search.mode != "text" and await _crowded(database, searching, table, viewer, sight, values)
    limit, at = capped(viewer, search.limit), len(values) + 1
    values += [search.words, search.prefixes, limit, _subject(viewer)]
    similarity = 0.0
    if search.mode != "text" and searching.embedder:
        similarity = searching.embedder.similarity
        [vector] = await searching.embedder.embed([search.given], kind="query")
        values.append(vector_text(vector))
    walled = searching.walled and isinstance(viewer, GrantView)
    rows = ceiling(limit)
    shape = _Shape(
        table, sight, search.mode, search.language, search.highlight, rows, similarity, crowded, walled, at
    )
    items = await _items(database, "search", shape, values)
    if None in items or len(body := ",".join(items).encode()) > MAX_BYTES:
        items = await _items(database, "long_search", shape, values)
        body = ",".join(items).encode()
    return Answer(b'{"items":[%b]}' % body, len(items))


async def _items(
    database: Reads, name: Literal["search", "long_search"], shape: _Shape, values: Sequence[object]
) -> list[Any]:
    """The rows found, as JSON; None stands for one that may be long."""
    [(items,)] = await database.fetch(_statement(name, shape), *values)
    return items or []


async def _refuse_unindexed(
    database: Reads, table: Table, sight: Sight, language: Language, values: Sequence[object]
) -> None:
    """Raise :class:`Malformed` if a peer's search would make the words of very many rows anew: nobody there waits."""
    if language == _STORED or table.search != table.resource.search:
        return  # under a grant that withholds a column of the text it is so in every language
    if await _sees_more(database, _READ, table, sight, values):
        rows = await database.fetch(_sql.indexed.format(table=table.name), list(LANGUAGES))
        indexed = [_STORED, *(row["language"] for row in rows)]
        if language not in indexed:
            why = (
                f"no index of {table.name} has the words in {language}; expected one of {', '.join(indexed)}"
            )
            refuse([Fault("lang", why)])


async def _crowded(
    database: Reads,
    searching: Searching,
    table: Table,
    viewer: Viewer,
    sight: Sight,
    values: Sequence[object],
) -> bool:
    """Whether the viewer sees too many rows to compare all of their vectors. To find that out means to count them."""
    who = (table.name, viewer.grant_id if isinstance(viewer, GrantView) else viewer.id)
    if searching.crowds.get(who, 0.0) > time.monotonic():
        return True
    crowded = await _sees_more(database, _EXACT, table, sight, values)
    if crowded:
        if len(searching.crowds) >= _CROWDS:
            searching.crowds.clear()
        searching.crowds[who] = time.monotonic() + _CROWDED
    return crowded


async def _sees_more(
    database: Reads, rows: int, table: Table, sight: Sight, values: Sequence[object]
) -> bool:
    ways = _ways(sight, {"table": table.name, "keys": "r.id", "shown": sight.shown})
    [row] = await database.fetch(_sql.many.format(ways=ways, most=rows), *values)
    return bool(row["many"])


def vector_text(vector: Sequence[float]) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(map(repr, map(float, vector)))}]"


def text_vector(table: Table, language: Language, row: str = "r.") -> str:
    """The text-search vector of a row. The stored one also knows the words of hidden columns.

    One that is not stored is made from the text of each row the viewer sees, unless `mosaic index language` has
    made an index of this very expression.
    """
    if table.resource.view and _stored(table, language):
        return f"{row}search_vector"
    # Of a table no row is kept whose words do not fit; of a view nobody has looked.
    most = 100_000 if not table.resource.view else min(100_000, 130_000 // len(table.resource.search))
    return " || ".join(
        f"setweight(to_tsvector('{language}', coalesce(left({row}\"{name}\", {most}), '')), '{weight}')"
        for name, weight in zip(table.resource.search, "A" + "B" * len(table.resource.search), strict=False)
        if name in table.search
    )


def _stored(table: Table, language: Language) -> bool:
    """Whether search_vector has the words that are looked for, and no others. In tables they have their place's tag."""
    return table.search == table.resource.search and language == _STORED


def _subject(viewer: Viewer) -> UUID:
    return viewer.subject_id if isinstance(viewer, GrantView) else viewer.id


@lru_cache(maxsize=512)
def _statement(name: Literal["search", "long_search"], shape: _Shape) -> str:
    table, at = shape.table, shape.at
    sight = shape.sight._replace(teams=shape.sight.teams and "SELECT t.team_id FROM _teams t")  # asked once
    order = "r.created_at DESC, r.id DESC" if table.newest_first else "r.id"
    pieces: dict[str, object] = {
        "table": table.name,
        "language": shape.language,
        "teams": shape.sight.teams or "SELECT NULL::uuid AS team_id WHERE false",
        "raw": table.raw,
        "weight": table.weight,
        "budget": MAX_BYTES,
        "visible": sight.predicate,
        "shown": sight.shown,
        "keys": "r.created_at, r.id" if table.newest_first else "r.id",
        "order": order,
        "text_vector": text_vector(table, shape.language),
        "place": _sql.place,
        "in_place": _sql.in_place_walked if shape.walled else _sql.in_place.format(place=_sql.place),
        "same": "r.ctid = f.at AND r.id = f.id" if shape.mode == "text" else "r.id = f.id",
        "ceiling": shape.ceiling,
        "ranked": _RANKED,
        "exact": _EXACT,
        "similarity": shape.similarity,
        "words": f"${at}",
        "prefixes": f"${at + 1}",
        "limit": f"${at + 2}",
        "subject": f"${at + 3}",
        "embedding": f"(SELECT ${at + 4}::text::vector)",  # a query: else a kept plan reads the text for each row
    }
    own = f"SELECT q.subject FROM _q q WHERE {'true' if sight.personal else 'false'}"  # noqa: S608 - nothing from outside
    pieces["places"] = " UNION ALL ".join(filter(None, (sight.teams, own)))
    view = table.resource.view
    pieces["ways"] = _ways(sight, pieces, "_in_view" if view else "")
    stored = _sql.text if _stored(table, shape.language) else _sql.text_anew
    pieces["text"] = (_sql.text_in_view if view else stored).format(**pieces)
    pieces["nearest"] = _sql.nearest.format(**pieces)
    pieces["vector"] = (_sql.keys_of_nearest if shape.crowded else _sql.exact).format(**pieces)
    pieces["hybrid"] = _sql.hybrid.format(**pieces)
    pieces["found"] = pieces[shape.mode]
    rows = "view" if view else "nearest" if shape.crowded and shape.mode == "vector" else "table"
    pieces["rows"] = getattr(_sql, f"rows_of_{rows}").format(**pieces)
    # As the rows of a table are found they are in order already, and Postgres knows it.
    pieces["best_first"] = "f.rank DESC, " + order.replace("r.", "f." if rows == "table" else "r.")
    more = ["""',"rank":'""", "to_json(r.rank)", *(_highlights(shape) if shape.highlight else ())]
    pieces["item"] = object_sql(table.columns, *more)
    pieces["asked"] = _sql.asked.format(**pieces)
    text: str = getattr(_sql, name).format(**pieces)
    return text if shape.mode == "text" else _sql.with_settings.format(statement=text)


def _ways(sight: Sight, pieces: Mapping[str, object], where: str = "") -> str:
    """What the viewer sees, by its ids; ``_in_view`` whole, if it matches: each way walks its own index."""
    ways = {"personal": sight.personal, "team": sight.teams}
    if not any(ways.values()):
        ways["personal"] = "false"
    more = {**pieces, "personal": ways["personal"], "teams": ways["team"]}
    return " UNION ALL ".join(
        getattr(_sql, f"{name}_way{where}").format(**more) for name in ways if ways[name]
    )


def _highlights(shape: _Shape) -> tuple[str, str]:
    title = shape.table.resource.search[0]
    columns = (
        _sql.highlight.format(language=shape.language, column=name, **(_TITLE if name == title else _BODY))
        for name in shape.table.search
    )
    made = f"SELECT row_to_json(h) FROM (SELECT {', '.join(columns)}) h"  # noqa: S608 - names are identifiers
    return """',"highlights":'""", f"({made})"
