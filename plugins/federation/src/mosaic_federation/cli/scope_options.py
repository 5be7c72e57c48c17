"""The options that say a scope, for the commands that make and change grants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, TextIO

import click

_OPTIONS = (
    click.option("--resource", "resources", multiple=True, help="Resource to share; repeatable."),
    click.option(
        "--team", "teams", multiple=True, metavar="SLUG", help="Team whose rows to share; repeatable."
    ),
    click.option("--all-teams", is_flag=True, help="Rows of every team of the subject, now and later."),
    click.option("--personal/--no-personal", default=None, help="The subject's own rows.  [default: no]"),
    click.option(
        "--exclude", multiple=True, metavar="X", help="Resource, or resource/row-id, never to share."
    ),
    click.option(
        "--field",
        "fields",
        multiple=True,
        metavar="RESOURCE=COLUMN,…",
        help="The only columns of a resource to share, besides id; repeatable.  [default: all]",
    ),
    click.option("--max-rows", type=int, help="Most rows of one answer.  [default: 100]"),
    click.option("--max-rows-per-day", type=int, help="Most rows of all answers of a day, in UTC."),
    click.option(
        "--expires",
        "expires_at",
        type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"]),
        metavar="TIME",
        help="When the grant ends, such as 2027-01-31T12:00Z.  [default: it has no end]",
    ),
    click.option("--days", type=int, help="The same in days from now."),
    click.option(
        "--scope",
        "whole",
        type=click.File(encoding="utf-8"),
        metavar="FILE",
        help="The whole scope as JSON instead of the options above; - reads standard input.",
    ),
)


def scope_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command is given ``scope``, as :func:`build_scope` takes it, and ``whole``."""

    @wraps(command)
    def with_scope(
        *,
        resources: tuple[str, ...],
        teams: tuple[str, ...],
        all_teams: bool,
        personal: bool | None,
        exclude: tuple[str, ...],
        fields: tuple[str, ...],
        max_rows: int | None,
        max_rows_per_day: int | None,
        expires_at: datetime | None,
        days: int | None,
        whole: TextIO | None,
        **others: Any,
    ) -> None:
        from mosaic_federation.scopes import ScopeRequest

        parts = ScopeRequest(
            resources=resources,
            teams=teams,
            all_teams=all_teams,
            personal=personal,
            exclude=exclude,
            max_rows=max_rows,
            fields=fields,
            max_rows_per_day=max_rows_per_day,
            expires_at=expires_at,
            days=days,
        )
        if whole and parts != ScopeRequest():
            raise click.UsageError("--scope is the whole scope: leave out the options that say parts of it")
        command(scope=read_file(whole) if whole else parts, whole=whole is not None, **others)

    for option in reversed(_OPTIONS):
        with_scope = option(with_scope)
    return with_scope


def read_file(file: TextIO) -> Mapping[str, object]:
    """Read a scope's JSON. Raises :class:`Invalid`."""
    from mosaic_federation.scopes import LONGEST_TEXT, read_scope

    try:
        return read_scope(file.read(LONGEST_TEXT + 1))
    except UnicodeDecodeError:
        raise click.BadParameter("is not UTF-8", param_hint="the scope") from None
