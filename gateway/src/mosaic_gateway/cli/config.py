"""``mosaic gateway config``: its schema, its values, its faults."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from mosaic_gateway.cli.shell import Shell


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command(
    epilog="""
\b
Examples:
  mosaic gateway config schema > mosaic.schema.json
"""
)
def schema() -> None:
    """Print the JSON Schema of a config, with the tables of every installed plugin."""
    click.echo(json.dumps(installed_schema(), indent=2, ensure_ascii=False))


def installed_schema() -> dict[str, object]:
    """The schema that fits what is installed."""
    from mosaic_gateway.config import TIER_ALIASES, config_schema
    from mosaic_gateway.plugins import settings_models

    models = settings_models()
    tiers = [name.removeprefix("tier_") for name in models if name.startswith("tier_")]
    return config_schema([*tiers, *TIER_ALIASES], models)


@config.command(
    epilog="""
\b
Examples:
  mosaic gateway config show
  mosaic gateway config show --origin
  mosaic gateway config show --json | jq -r '.[] | select(.key == "storage.pool").value'
"""
)
@click.option("--origin", is_flag=True, help="Say which file, variable or tier each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(shell: Shell, origin: bool, as_json: bool) -> None:
    """Show every value in force, secrets masked."""
    from mosaic_gateway.config import read_origins, settings_in_force

    host = shell.composition.host
    found = settings_in_force(
        shell.composition.config,
        shell.composition.tier,
        (host.storage_target, host.queue_target),
        host.settings,
        read_origins(shell.source),
    )
    columns = ["key", "value", *(["origin"] if origin else [])]
    rows = [{name: asdict(setting)[name] for name in columns} for setting in found]
    shell.table(rows, columns=columns, as_json=as_json, empty="")


@config.command(
    epilog="""
\b
Examples:
  mosaic gateway config check
  mosaic --config deploy/mosaic.config.json gateway config check && echo deploy
"""
)
@click.pass_obj
def check(shell: Shell) -> None:
    """Check the config without starting anything. Exit code: 0 good, 3 with every fault."""
    composition = shell.composition
    listeners = ", ".join(listener.name for listener in composition.listeners)
    mounts = len(composition.mounts)
    plugins = ", ".join(plugin.name for plugin in composition.registry.plugins)
    click.echo(
        f"{shell.source.path}: good\n  tier       {composition.tier.name}\n  plugins    {plugins}\n"
        f"  listeners  {listeners} ({mounts} mounts)"
    )
