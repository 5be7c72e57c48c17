"""What the commands share."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import CommandLine, Host

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def terminal() -> CommandLine:
    """The host's side of the command line."""
    found: CommandLine = click.get_current_context().obj
    return found


def run(work: Callable[[Host], Awaitable[T]]) -> T:
    """Do ``work`` as this plugin, with the gateway's database open."""
    return terminal().run("federation", work)


def actor() -> str:
    """Who is at the terminal, for the record."""
    return f"cli:{getpass.getuser()}"
