"""A search's parameters as data: the words, how to look for them, and what to show; every fault found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from mosaic_gateway.config.model import Language
from mosaic_gateway.resources.query import DEFAULT_LIMIT, MAX_FAULTS, MAX_LIMIT, read_limit, refuse, unknown
from mosaic_gateway.resources.storable import problem
from mosaic_hookspecs.errors import Fault

S = TypeVar("S", bound=str)
Mode = Literal["text", "vector", "hybrid"]
MODES: tuple[Mode, ...] = get_args(Mode)
LANGUAGES: tuple[Language, ...] = get_args(Language)
MAX_WORDS = 500  # characters of a search; Postgres takes 2,046 bytes in one word
PARAMETERS = ("q", "limit", "mode", "lang", "highlight")
_PREFIX = re.compile(r'(?<![^\s"(])(-?)([^\W_]\w*)\*(?!\w)')
_EXACT = re.compile(r'["*]|(?<!\S)-|\bor\b', re.IGNORECASE)  # "a phrase", word*, -not, or


@dataclass(frozen=True, slots=True)
class Search:
    """What a search asks for. In ``words`` a stand-in is where each of ``prefixes`` was; see search_query in SQL."""

    given: str
    words: str
    prefixes: tuple[str, ...]
    mode: Mode
    language: Language
    highlight: bool
    limit: int


def parse_search(
    params: Mapping[str, str], *, modes: tuple[Mode, ...], language: Language, beside: Sequence[str] = ()
) -> Search:
    """Read the parameters of a search where these modes are there. Raises :class:`Malformed` with every fault.

    ``beside`` are parameters that the caller takes, and that may have been meant.
    Without ``mode``, words are looked for in every way there is, save those that say exactly what is wanted.
    """
    strange = [name for name in params if name not in PARAMETERS]
    faults = [unknown(name, (*PARAMETERS, *beside)) for name in strange[:MAX_FAULTS]]
    given = _words(params.get("q", ""), faults)
    usual: Mode = "text" if _EXACT.search(given) else modes[-1]
    prefixes = tuple(match[2] for match in _PREFIX.finditer(given))
    places = iter(range(1, len(prefixes) + 1))
    search = Search(
        given=given,
        words=_PREFIX.sub(lambda match: f"{match[1]}mosaicprefix{next(places)}", given),
        prefixes=prefixes,
        mode=_one_of("mode", params, modes, usual, faults),
        language=_one_of("lang", params, LANGUAGES, language, faults),
        highlight=_one_of("highlight", params, ("true", "false"), "false", faults) == "true",
        limit=read_limit(params, faults),
    )
    refuse(faults)
    return search


def ceiling(limit: int) -> int:
    """Rows, written into the text of a statement: for a parameter Postgres would plan to read a tenth of all."""
    return DEFAULT_LIMIT if limit <= DEFAULT_LIMIT else MAX_LIMIT


def _words(given: str, faults: list[Fault]) -> str:
    if not given.strip() or len(given) > MAX_WORDS:
        faults.append(Fault("q", f"expected the words to look for, at most {MAX_WORDS} characters"))
    elif trouble := problem(given):
        faults.append(Fault("q", trouble))
    return given


def _one_of(name: str, params: Mapping[str, str], known: tuple[S, ...], usual: S, faults: list[Fault]) -> S:
    given = params.get(name, usual)
    for each in known:
        if each == given:
            return each
    faults.append(Fault(name, f"expected one of {', '.join(known)}"))
    return usual
