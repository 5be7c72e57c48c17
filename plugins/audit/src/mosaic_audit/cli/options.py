"""Options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from mosaic_audit.times import moment
from mosaic_hookspecs.types import AuditDirection, AuditVerb

F = TypeVar("F", bound=Callable[..., Any])

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def filter_options(command: F) -> F:
    """The fields of a :class:`mosaic_audit.log.Filter`."""
    for option in reversed(
        (
            click.option("--peer", help="Of this peer."),
            click.option("--grant", type=click.UUID, help="Of this grant (id)."),
            click.option("--subject", type=click.UUID, help="On behalf of this user (id)."),
            click.option("--resource", help="Of this resource."),
            click.option("--verb", type=click.Choice(get_args(AuditVerb)), help="Of this kind."),
            click.option("--outcome", help='With this outcome: "ok", or the code of the refusal.'),
            click.option("--trace", help="Of this trace (id)."),
            click.option("--request", help="Of this request (id)."),
            click.option(
                "--direction",
                type=click.Choice(get_args(AuditDirection)),
                help="What peers were answered, or what this gateway asked of them.",
            ),
            click.option(
                "--since", type=moment, help="From then on: 2026-11-22, 2026-11-22T10:00, or 12h ago."
            ),
            click.option("--until", type=moment, help="Before then."),
        )
    ):
        command = option(command)
    return command
