"""What the commands share."""

from __future__ import annotations

import os
import pwd
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import CommandLine, Host

T = TypeVar("T")

_LONGEST_REASON = 500  # characters


def _reason(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not (text.isprintable() and 0 < len(text) <= _LONGEST_REASON):
        raise click.BadParameter(f"expected 1 to {_LONGEST_REASON} printable characters")
    return text


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
reason_option = click.option("--reason", callback=_reason, help="Kept in the grant's history.")
version_option = click.option(
    "--expected-version",
    type=click.IntRange(1, 2**31 - 1),
    metavar="N",
    help="Refuse if the grant is at another version by now.",
)


def terminal() -> CommandLine:
    """The host's side of the command line."""
    found: CommandLine = click.get_current_context().obj
    return found


def run(work: Callable[[Host], Awaitable[T]]) -> T:
    """Do ``work`` as this plugin, with the gateway's database open."""
    return terminal().run("federation", work)


def actor() -> str:
    """Who is at the terminal, for the record: by the account, for the environment says what it is told to."""
    uid = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # an account without a name, as in a container
        return f"cli:{uid}"
