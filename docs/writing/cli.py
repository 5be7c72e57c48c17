"""reference/cli.md"""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from mosaic_gateway.cli.main import mosaic
from writing import DOCS
from writing.markdown import fence, page
from writing.tests import PAGES, page_with, test_of


def cli() -> str:
    stored = (DOCS / "reference" / "cli.md").read_text()
    parts = ["# Command line", "What `--help` says of each command, and the test that runs it."]
    for path, context in commands("mosaic", mosaic):
        parts += [f"## {' '.join(path)}", fence("text", context.get_help())]
        if not isinstance(context.command, click.Group):
            parts.append(f"Run by {run_by(path[1:], stored)}.")
    return page(parts)


def run_by(words: list[str], stored: str = "") -> str:
    """The test that runs a command, or the page whose blocks are run; empty if none does."""
    name = words[-1]
    groups = [re.escape(word.removesuffix("s")) + "s?" for word in words[:-1]]  # either number is understood
    words = [*groups, re.escape(words[-1])]
    typed = rf"(?:mosaic|work|home)(?: --?\S+)*\s+{' '.join(words)}\b"
    # One word is a word like any other, unless it is called; of three, a test's helper may put the first in front.
    called = rf"(?:mosaic|run|json|invoke)\((?:\w+, )?\[?{_quoted(words)}"
    several = [words, words[1:]] if len(words) > 2 else [words]
    either = "|".join([typed, called, *(_quoted(each) for each in several if len(each) > 1)])
    if found := test_of(either, has=name, stored=stored):
        return f"`{found}`"
    page = page_with(typed, stored=stored)
    return f"`{PAGES}`, on the page `{page}`" if page else ""


def _quoted(words: list[str]) -> str:
    return r",\s*".join(f'"{word}"' for word in words)


def commands(
    name: str, command: click.Command, above: click.Context | None = None
) -> Iterator[tuple[list[str], click.Context]]:
    """Every command, with its words and as it is called."""
    context = click.Context(
        command, info_name=name, parent=above, terminal_width=100, **command.context_settings
    )
    yield context.command_path.split(), context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            if (child := command.get_command(context, each)) and not child.hidden:
                yield from commands(each, child, context)
