"""What a peer is told about its grant. Ids of withheld rows are rows of others: it learns only that there are some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaic_federation.scopes import in_words
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import Team


def scope_for_peer(scope: Scope) -> dict[str, Any]:
    """``scope`` as JSON without what it excludes; ``rows_withheld`` says whether single rows are."""
    told = scope.model_dump(mode="json", exclude={"excluded_resources"})
    return told | {"resources": _allowed(scope), "rows_withheld": _withholds_rows(scope)}


def words_for_peer(scope: Scope, teams: Sequence[Team]) -> list[str]:
    """One line for each rule, as :func:`in_words` for its own admin."""
    whole = tuple(name for name in scope.excluded_resources if "/" not in name)
    lines = in_words(scope.model_copy(update={"excluded_resources": whole}), teams)
    return [*lines, "some single rows are withheld"] if _withholds_rows(scope) else lines


def _allowed(scope: Scope) -> list[str]:
    return [name for name in scope.resources if scope.allows(name)]


def _withholds_rows(scope: Scope) -> bool:
    return any(scope.excluded_rows(name) for name in _allowed(scope))
