"""``mosaic plugins check``: does an installed plugin keep to every rule of what it registers?"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell
from mosaic_hookspecs.errors import ConfigError

if TYPE_CHECKING:
    from mosaic_gateway.testing.check.checked import Checked
    from mosaic_gateway.testing.check.subject import Settings

_TESTING = "mosaic_gateway.testing.check"  # by name: it stands on the command line, and not below it
_OUTCOMES = ("passed", "failed", "left out", "not run")


class _NotRun(ConfigError):
    exit_code = 2


@click.command(
    epilog="""
\b
DIST is a distribution or one of its plugins. Of the file, `plugins`, `queue` and `storage` are read, as in
mosaic.config.json; the database is a throw-away one all the same, save where a storage itself is checked.

\b
Examples:
  mosaic plugins check mosaic-workspace
  mosaic plugins check recipes --json | jq '.[] | select(.outcome == "failed")'
  mosaic plugins check mosaic-valkey --config check.json     {"queue": {"url": "redis://localhost:6379/0"}}

\b
Exit codes: 0 every rule passed, or says nothing of it · 1 one failed · 2 one could not be run.
"""
)
@click.argument("dist")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings and services that the plugin needs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: every rule.")
@click.pass_obj
def check(shell: Shell, dist: str, file: Path | None, as_json: bool) -> None:
    """Run the contract suites over what an installed plugin registers, on a throw-away gateway."""
    names = _plugins_of(dist)
    settings = _settings(file)
    try:
        run = importlib.import_module(f"{_TESTING}.running").check
        checked = [each for name in names for each in run(name, settings)]
    except ConfigError as error:
        raise _NotRun(error.detail, remedy=error.remedy, faults=error.faults) from error
    if as_json:
        shell.table([asdict(each) for each in checked], columns=(), as_json=True, empty="")
    else:
        columns = ("plugin", "hook", "object", *_OUTCOMES)
        shell.table(list(_summary(checked)), columns=columns, as_json=False, empty="nothing to check")
        for line in _trouble(checked):
            click.echo(line)
    raise click.exceptions.Exit(_code(checked))


def _plugins_of(dist: str) -> list[str]:
    from mosaic_gateway.plugins import installed

    wanted, offers = _plain(dist), installed()
    found = [name for name, offer in offers.items() if wanted in map(_plain, offer.distribution.split(", "))]
    if not found and dist in offers:  # only then: another's plugin may be called like this distribution
        found = [dist]
    if not found:
        raise _NotRun(
            f"no installed distribution or plugin is called {dist!r}",
            remedy="pip install it into this environment; `mosaic plugins list` shows what there is",
        )
    return sorted(found)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _settings(file: Path | None) -> Settings:
    """What the file says. Raises :class:`ConfigError` for one that cannot be read or holds a mistake."""
    from mosaic_gateway.config import (
        Config,
        bind,
        queue_target,
        read_config,
        read_named,
        storage_target,
    )
    from mosaic_hookspecs.types import Tier

    make: type[Settings] = importlib.import_module(f"{_TESTING}.subject").Settings
    if file is None:
        return make()
    source = read_config(file)
    # Of what the file names: a variable may be for a real gateway, with its database and all of its plugins.
    named = {path[:2] for path in read_named(source)}
    tables = {path[0] for path in named}
    data: dict[str, Any] = {
        name: source.data[name] for name in ("plugins", "queue", "storage") if name in tables
    }
    if "plugins" in data:
        data["plugins"] = {k: v for k, v in data["plugins"].items() if ("plugins", k) in named}
    config, faults = bind(Config, {"tier": "local", "name": "check", "data_dir": "data", **data})
    if config is None or faults:
        raise _NotRun(f"{file}: it cannot be used", faults=faults, remedy="mend the keys above")
    tier, root = Tier("check", storage="", queue="postgres", summary=""), file.absolute().parent
    queue = queue_target(config, tier, root) if "queue" in data else None
    storage = storage_target(config, tier, root) if "storage" in data else None
    return make(data.get("plugins", {}), queue, storage)


def _summary(checked: Sequence[Checked]) -> Iterator[dict[str, Any]]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for each in checked:
        found.setdefault((each.plugin, each.hook, each.object), []).append(each.outcome)
    for (plugin, hook, name), outcomes in found.items():
        yield {"plugin": plugin, "hook": hook, "object": name} | {o: outcomes.count(o) for o in _OUTCOMES}


def _trouble(checked: Sequence[Checked]) -> Iterator[str]:
    """Each rule that did not pass; those of one object with one reason once."""
    for outcome in _OUTCOMES[1:]:
        found = [each for each in checked if each.outcome == outcome]
        for (plugin, hook, name, reason), rules in groupby(
            found, lambda each: (each.plugin, each.hook, each.object, each.reason)
        ):
            named = [rule.rule for rule in rules if rule.rule]
            what = " ".join(filter(None, (plugin, hook.removeprefix("plugin"), name)))
            which = f"{len(named)} rules" if len(named) > 1 else "".join(named)
            colour = {"failed": "red", "not run": "yellow"}.get(outcome)
            click.echo(click.style(outcome, fg=colour), nl=False)
            yield f"  {what}: " + ": ".join(filter(None, (which, reason)))


def _code(checked: Sequence[Checked]) -> int:
    outcomes = {each.outcome for each in checked}
    return 1 if "failed" in outcomes else 2 if "not run" in outcomes else 0
