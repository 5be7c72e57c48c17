"""How far along a transfer is: shown on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_EVERY = 100  # rows between two updates of the bar


class Progress(Protocol):
    """Told after each row what is going on, how many rows are done, and of how many if that is known."""

    def __call__(self, step: str, done: int, total: int | None) -> None:
        """Take note; must be quick."""
        ...


def silent(step: str, done: int, total: int | None) -> None:
    """Show nothing."""


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar on stderr while the context is entered, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console  # noqa: PLC0415  only a terminal pays for the import
    from rich.progress import Progress as Bar  # noqa: PLC0415

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(step: str, done: int, total: int | None) -> None:
            if done % _EVERY == 0 or done == total:
                bar.update(task, description=step, completed=done, total=total)

        yield show
