"""``mosaic plugins``: what is installed, what is loaded, and what each brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from mosaic_gateway.compose import Composition


@click.group()
def plugins() -> None:
    """See which plugins are installed and loaded."""


@plugins.command(
    "list",
    epilog="""
\b
Examples:
  mosaic plugins list
  mosaic plugins list --json | jq '.[] | select(.state == "loaded")'
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_plugins(shell: Shell, as_json: bool) -> None:
    """List every installed plugin: loaded ones first, in the order of the config."""
    from mosaic_gateway.plugins import installed

    points = installed()
    loaded = _loaded(shell.composition)
    idle = [_idle(name, point) for name, point in sorted(points.items()) if name not in loaded]
    shell.table(
        [*loaded.values(), *idle],
        columns=["name", "version", "distribution", "state", "offers", "hooks"],
        as_json=as_json,
        empty="no plugin is installed",
    )


def _loaded(composition: Composition) -> dict[str, dict[str, Any]]:
    manager = composition.registry.manager
    return {
        plugin.name: {
            "name": plugin.name,
            "version": plugin.version,
            "distribution": plugin.distribution,
            "state": "loaded",
            "offers": _offers(composition, plugin.name),
            "hooks": sorted(caller.name for caller in manager.get_hookcallers(plugin.module) or []),
        }
        for plugin in composition.registry.plugins
    }


def _offers(composition: Composition, plugin: str) -> list[str]:
    """What the plugin satisfies: its tier, storage, authority, audit sink, resources, listeners."""
    from mosaic_gateway.plugins import each_item

    kinds = {
        "tier": "mosaic_tiers",
        "storage": "mosaic_storages",
        "authority": "mosaic_authorities",
        "resource": "mosaic_resources",
        "listener": "mosaic_listeners",
        "audit sink": "mosaic_audit_sinks",
    }
    return [
        f"{kind} {item.name}" if hasattr(item, "name") else kind
        for kind, hook in kinds.items()
        for owner, item in each_item(composition.registry, hook, host_for=composition.view)
        if owner == plugin
    ]


def _idle(name: str, point: EntryPoint) -> dict[str, Any]:
    return {
        "name": name,
        "version": point.dist.version if point.dist else "?",
        "distribution": point.dist.name if point.dist else "?",
        "state": "installed",
        "offers": [],
        "hooks": [],
    }
