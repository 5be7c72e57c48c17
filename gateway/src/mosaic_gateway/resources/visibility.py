"""Who sees which rows. One function turns a viewer and a resource into SQL; nothing else decides."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from mosaic_hookspecs.errors import NotFound
from mosaic_hookspecs.types import GrantView, Resource, Viewer


class Sight(NamedTuple):
    """What a viewer sees, as pieces of SQL about rows ``alias``. ``predicate`` is the whole rule about rows.

    The pieces exist so that a sorted page can walk one index per way to a row instead of filtering all rows.
    """

    alias: str
    personal: str | None  # predicate of personal rows; None if they are closed to this viewer
    teams: str | None  # query of the ids of teams whose rows are open; None if no team's are
    shown: str  # predicate that further withholds single rows
    columns: frozenset[str] | None  # the only ones of these rows that are there for the viewer; None: all

    @property
    def predicate(self) -> str:
        """True for exactly the rows the viewer sees. Closed unless something opens."""
        team = f"{self.alias}.team_id"
        ways = [self.personal, self.teams and f"{team} IS NOT NULL AND {team} IN ({self.teams})"]
        opened = " OR ".join(f"({way})" for way in ways if way) or "false"
        return f"({opened}) AND {self.shown}"


def visible(viewer: Viewer, resource: Resource, alias: str, params: list[object]) -> Sight:
    """Return what ``viewer`` sees of ``resource``, appending the values it needs to ``params``.

    ``alias`` is a row with the columns id, owner_id and team_id. Raises :class:`NotFound`, as for a resource
    that does not exist, if a grant's scope does not reach it or has ended, or it is not federable.
    """
    at = len(params) + 1
    if isinstance(viewer, GrantView):
        return _granted(viewer, resource, alias, at, params)
    params.append(viewer.id)
    return _sight(alias, at, personal=True, teams="all", exclusions=False, columns=None)


def unknown_resource(name: str) -> NotFound:
    """One error for a resource that is absent and for one that is out of a grant's reach."""
    return NotFound(f"There is no resource {name!r}.", remedy="check the name")


def _granted(view: GrantView, resource: Resource, alias: str, at: int, params: list[object]) -> Sight:
    scope = view.scope
    if not (resource.federable and scope.allows(resource.name)) or scope.has_ended(datetime.now(UTC)):
        raise unknown_resource(resource.name)
    teams: Literal["all", "some", "none"] = "none"
    params.append(view.subject_id)
    excluded = scope.excluded_rows(resource.name)
    if excluded:
        params.append(excluded)
    if scope.include_teams == "all":
        teams = "all"
    elif scope.include_teams:
        teams = "some"
        params.append(scope.include_teams)
    return _sight(
        alias,
        at,
        personal=scope.include_personal,
        teams=teams,
        exclusions=bool(excluded),
        columns=scope.columns(resource.name),
    )


@lru_cache(maxsize=256)
def _sight(
    alias: str,
    at: int,
    *,
    personal: bool,
    teams: Literal["all", "some", "none"],
    exclusions: bool,
    columns: frozenset[str] | None,
) -> Sight:
    own = f"{alias}.team_id IS NULL AND {alias}.owner_id = ${at}::uuid"
    member = f"SELECT m.team_id FROM memberships m WHERE m.user_id = ${at}::uuid"  # noqa: S608 - at is ours
    if teams == "some":
        member += f" AND m.team_id = ANY(${at + 1 + exclusions}::uuid[])"
    return Sight(
        alias=alias,
        personal=own if personal else None,
        teams=None if teams == "none" else member,
        shown=f"{alias}.id <> ALL(${at + 1}::uuid[])" if exclusions else "true",
        columns=columns,
    )
