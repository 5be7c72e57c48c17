"""What commands share: reaching a gateway, and printing for people or for programs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mosaic_hookspecs.errors import ConfigError

if TYPE_CHECKING:
    from mosaic_gateway.boot import Gateway
    from mosaic_gateway.compose import Composition
    from mosaic_gateway.config import Source
    from mosaic_hookspecs.protocols import Host

T = TypeVar("T")
_WIDEST = 200  # characters of a cell; --json has all


class Shell:
    """Implements :class:`mosaic_hookspecs.protocols.CommandLine`; found as ``ctx.obj``."""

    def __init__(self, config: Path | None, *, debug: bool) -> None:
        self.config = config
        self.debug = debug

    @cached_property
    def source(self) -> Source:
        """The config as read. Raises :class:`ConfigError`."""
        from mosaic_gateway.config import find_config, read_config

        return read_config(self.config or find_config(Path.cwd()))

    @cached_property
    def composition(self) -> Composition:
        """The gateway as composed, with nothing started. Raises :class:`ConfigError`."""
        from mosaic_gateway.compose import compose

        return compose(self.source)

    def gateway(self, work: Callable[[Gateway], Awaitable[T]]) -> T:
        """Open the gateway's database and lifespans, await ``work(gateway)``, close again."""
        import asyncio

        from mosaic_gateway.boot import open_gateway

        async def main() -> T:
            async with open_gateway(self.composition, serving=False) as gateway:
                return await work(gateway)

        return asyncio.run(main())

    def run(self, plugin: str, work: Callable[[Host], Awaitable[T]]) -> T:
        """The same for a plugin's command, which is given the host as that plugin sees it."""
        if plugin not in {loaded.name for loaded in self.composition.registry.plugins}:
            raise ConfigError(
                f"plugin {plugin!r} is installed, but {self.source.path} does not name it",
                remedy=f"add an empty table plugins.{plugin} to the config",
            )
        return self.gateway(lambda gateway: work(gateway.composition.view(plugin)))

    def table(
        self, rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str], as_json: bool, empty: str
    ) -> None:
        """Print rows as a table of ``columns``, or all keys as one JSON array."""
        if as_json:
            click.echo(_dump([dict(row) for row in rows]))
        elif not rows:
            click.echo(empty)
        else:
            _print_table(rows, columns)

    def record(self, row: Mapping[str, Any], *, as_json: bool) -> None:
        """Print one thing as aligned lines, or as one JSON object."""
        if as_json:
            click.echo(_dump(dict(row)))
            return
        names = {key: _name(key) for key in row}
        width = max(map(len, names.values()), default=0)
        # In one piece, so that a note on stderr never lands between two of its lines.
        click.echo("\n".join(f"{names[key]:<{width}}  {_text(value)}" for key, value in row.items()))


def _dump(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_json_text)
    # JSON lets pass what a terminal obeys: the control characters from U+007F on, and turns of direction.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _json_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "-"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return printable(str(value))


def printable(text: str) -> str:
    """Without control characters: text of another gateway or plugin must not reach a terminal with them."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "�" for c in text)


def printable_lines(text: str) -> str:
    """The same, line by line."""
    return "\n".join(map(printable, text.split("\n")))


def _name(key: str) -> str:
    return _text(key.replace("_", " "))


def _cell(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(_name(column), overflow="fold")  # an id that is cut is of no use
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:  # a pipe has no width: do not fold what a program will read
        console = Console(markup=False, highlight=False, width=10_000)
        table.box, table.pad_edge = None, False
    console.print(table)
