"""The options that say a grant's own limits, for the commands that make and change grants."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--rate",
        metavar="N",
        help="Most requests a minute; `default`: plugins.federation.limits.requests_per_grant.",
    ),
    click.option(
        "--concurrency",
        metavar="N",
        help="Most requests at once, in each process; `default`: it shares those of its peer.",
    ),
)


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command is given ``limits``."""

    @wraps(command)
    def with_limits(*, rate: str | None, concurrency: str | None, **others: Any) -> None:
        from mosaic_federation.grant_limits import GrantLimits

        given = {
            name: _number(text, option)
            for name, option, text in (
                ("requests_per_minute", "--rate", rate),
                ("concurrency", "--concurrency", concurrency),
            )
            if text is not None
        }
        command(limits=GrantLimits.of(given), **others)

    for option in reversed(_OPTIONS):
        with_limits = option(with_limits)
    return with_limits


def _number(text: str, option: str) -> int | None:
    if text == "default":
        return None
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is neither a number nor `default`", param_hint=option)
    return int(text)
