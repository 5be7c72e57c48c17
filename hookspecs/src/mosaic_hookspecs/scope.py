"""What a grant lets its peer see: one model for making grants and for enforcing them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from mosaic_hookspecs.errors import Fault
from mosaic_hookspecs.models import Model

#: No grant is made to last longer.
LONGEST = timedelta(days=3650)

_NAME = r"[a-z][a-z0-9_]{0,62}"
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d")
_PLAIN = re.compile(r"\w{1,63}", re.ASCII)
_LONGEST_SHOWN = 63  # characters of a name that is none
_TAGS = ("all", "teams")  # what pydantic puts into a place inside include_teams, and nobody wrote
_CREDENTIALS = re.compile(
    r"(credential|password|passwd|passphrase|secret|token|totp|otp)s?(_|\Z)"
    r"|(\A|_)(api|ssh|pgp|gpg|private|access|auth|session|signing|encryption)?keys?\Z"
)


def like_credentials(resource: str) -> bool:
    """Whether a resource's name says that its rows open doors: such rows are shared with nobody."""
    return _CREDENTIALS.search(resource) is not None


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{str(value)!r} is there more than once")
        seen.add(value)
    return values


def _written(value: object) -> object:
    """Pydantic also takes a count of seconds for a time, as text too."""
    if not (
        value is None or isinstance(value, datetime) or (isinstance(value, str) and _MOMENT.match(value))
    ):
        raise ValueError("expected a time with a time zone (RFC 3339), such as 2027-01-31T12:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    """Postgres takes offsets up to ±15:59, RFC 3339 up to ±23:59."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC it is not in the years 1 to 9999") from None


_once = (AfterValidator(_each_once), Field(json_schema_extra={"uniqueItems": True}))

_A_NAME, _AN_EXCLUSION = f"^{_NAME}$", f"^{_NAME}(/{_UUID})?$"
_PATTERNS = {
    _A_NAME: "expected a plain name: lower-case letters, digits and _, at most 63",
    _AN_EXCLUSION: "expected a resource, or a resource/row-id in lower case",
}

ResourceName = Annotated[str, StringConstraints(pattern=_A_NAME)]
Exclusion = Annotated[str, StringConstraints(pattern=_AN_EXCLUSION)]
Columns = Annotated[tuple[ResourceName, ...], Field(min_length=1, max_length=1000), *_once]
Teams = Annotated[
    Annotated[Literal["all"], Tag("all")]
    | Annotated[tuple[UUID, ...], *_once, Field(max_length=1000), Tag("teams")],
    Discriminator(lambda value: "all" if isinstance(value, str) else "teams"),
]
Moment = Annotated[  # strictly, it would not be read from text
    AwareDatetime, Field(strict=False), AfterValidator(_in_utc)
]


class Scope(Model):
    """A narrowing of what the subject user sees. What is not named here is not shared."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema"},
    )

    resources: Annotated[
        tuple[ResourceName, ...], Field(min_length=1, max_length=1000, examples=[["tasks", "notes"]]), *_once
    ]
    """The resources to share. Each is one that this gateway has and shares with peers at all; one whose name
    tells of credentials (`tokens`, `api_keys`, `user_secrets`) is refused whatever its plugin says."""
    excluded_resources: Annotated[
        tuple[Exclusion, ...],
        *_once,
        Field(max_length=10_000, examples=[["notes/0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11"]]),
    ] = ()
    """Whole resources (`notes`) or single rows (`notes/<id>`) never to share. Exclusion wins."""
    include_teams: Annotated[Teams, Field(examples=["all"])] = ()
    """Ids of teams whose rows to share, as long as the subject is a member; `"all"` follows the subject's
    memberships."""
    include_personal: Annotated[bool, Field(examples=[True])] = False
    """Whether to share the subject's own rows, those of no team."""
    fields: Annotated[
        Mapping[ResourceName, Columns],
        Field(
            examples=[{"tasks": ["title", "status", "created_at"]}],
            json_schema_extra={"additionalProperties": False},
        ),
    ] = {}
    """For a resource, the only columns to show. `id` is always shown; every other column, also those that the
    gateway keeps (`owner_id`, `team_id`, `external_id`, `created_at`, `updated_at`, `version`), only if it is
    named. A hidden column is in no answer, and can be neither filtered, sorted nor searched by. A resource that
    is not named here shows all of its columns."""
    max_rows_per_query: Annotated[int, Field(ge=1, le=1000, examples=[50])] = 100
    """Most rows of one answer."""
    max_rows_per_day: Annotated[int | None, Field(ge=1, le=10**12, examples=[5000])] = None
    """Most rows of all answers of a day, in UTC. Then requests are refused until midnight (429, Retry-After)."""
    expires_at: Annotated[
        Moment | None, BeforeValidator(_written), Field(examples=["2027-01-31T12:00:00Z"])
    ] = None
    """When the grant ends. From then on every request is refused."""

    @model_validator(mode="after")
    def _shares_something(self) -> Scope:
        if not self.include_personal and not self.include_teams:
            raise ValueError("shares nothing: set include_personal or name a team in include_teams")
        if set(self.resources) <= set(self.excluded_resources):
            raise ValueError("shares nothing: every resource is also in excluded_resources")
        return self

    def allows(self, resource: str) -> bool:
        """Whether rows of ``resource`` may be seen at all."""
        named = resource in self.resources and resource not in self.excluded_resources
        return named and not like_credentials(resource)

    def columns(self, resource: str) -> frozenset[str] | None:
        """The columns of ``resource`` that may be seen; None: all."""
        named = self.fields.get(resource)
        return None if named is None else frozenset(("id", *named))

    def has_ended(self, now: datetime) -> bool:
        """Whether ``expires_at`` has come."""
        return self.expires_at is not None and self.expires_at <= now

    def excluded_rows(self, resource: str) -> tuple[UUID, ...]:
        """Ids of single rows of ``resource`` that are withheld."""
        prefix = f"{resource}/"
        return tuple(UUID(e.removeprefix(prefix)) for e in self.excluded_resources if e.startswith(prefix))


def shape_faults(error: ValidationError) -> list[Fault]:
    """Every place where what was to be a :class:`Scope` is none, as ``scope.fields.tasks[0]``."""
    found = error.errors(include_url=False, include_input=False)
    places = [scope_path(each["loc"]) for each in found]
    return [
        Fault(place, _words(each))
        for place, each in zip(places, found, strict=True)
        # a list whose one item is wrong is not also told to be empty
        if not (each["type"] == "too_short" and any(other.startswith(f"{place}[") for other in places))
    ]


def _words(error: ErrorDetails) -> str:
    if (
        error["type"] == "uuid_parsing"
    ):  # pydantic repeats a character of it, whatever that does to a terminal
        return "expected an id, which is a UUID"
    pattern = str(error.get("ctx", {}).get("pattern"))
    return _PATTERNS.get(pattern, error["msg"].removeprefix("Value error, "))


def gateway_faults(
    scope: Scope, shared: Mapping[str, Collection[str]], teams: Collection[UUID] | None, now: datetime
) -> Iterator[Fault]:
    """Every place of a scope that cannot be on this gateway, or would never show a thing.

    ``shared`` has the columns of each resource that peers may see, ``teams`` the ids of the subject's
    teams, if those are known.
    """
    yield from _resource_faults("scope.resources", scope.resources, shared)
    yield from _resource_faults("scope.excluded_resources", scope.excluded_resources, shared)
    if scope.include_teams != "all" and teams is not None:
        for index, team in enumerate(scope.include_teams):
            if team not in teams:
                yield Fault(f"scope.include_teams[{index}]", f"'{team}' is no team of the subject")
    for resource, columns in scope.fields.items():
        yield from _column_faults(f"scope.fields.{resource}", resource, columns, scope, shared)
    if scope.has_ended(now):
        yield Fault("scope.expires_at", "is in the past")
    elif scope.expires_at and scope.expires_at > now + LONGEST:
        yield Fault("scope.expires_at", f"is more than {LONGEST.days} days away")


def unknown(name: str, what: str, known: Collection[str]) -> str:
    """Say that ``name`` is no ``what``, and which one may have been meant."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
    return f"{name[:_LONGEST_SHOWN]!a} is no {what}; {hint}"


def _resource_faults(
    path: str, names: tuple[str, ...], shared: Mapping[str, Collection[str]]
) -> Iterator[Fault]:
    for index, name in enumerate(names):
        resource = name.partition("/")[0]
        if like_credentials(resource):
            yield Fault(f"{path}[{index}]", f"{resource!r} is named like credentials, which are never shared")
        elif resource not in shared:
            yield Fault(f"{path}[{index}]", unknown(resource, "resource that can be shared", shared))


def _column_faults(
    path: str,
    resource: str,
    columns: tuple[str, ...],
    scope: Scope,
    shared: Mapping[str, Collection[str]],
) -> Iterator[Fault]:
    if resource not in scope.resources:
        yield Fault(path, f"{resource!r} is not in resources")
    elif resource in scope.excluded_resources:
        yield Fault(path, f"{resource!r} is also in excluded_resources")
    elif resource in shared:
        for index, name in enumerate(columns):
            if name not in shared[resource]:
                yield Fault(f"{path}[{index}]", unknown(name, f"column of {resource}", shared[resource]))


def scope_path(loc: Sequence[int | str]) -> str:
    """Name a place inside a scope, printable whatever was written there."""
    path = "scope"
    for before, part in zip(("", *loc), loc, strict=False):
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]" and not (before == "include_teams" and part in _TAGS):
            path += f".{part if _PLAIN.fullmatch(part) else ascii(part[:_LONGEST_SHOWN])}"
    return path
