"""``mosaic plugins``: what is installed, what is loaded and what each brings, and why one is not loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.plugin_check import check
from mosaic_gateway.cli.plugin_new import new
from mosaic_gateway.cli.shell import Shell
from mosaic_hookspecs.errors import ConfigError

if TYPE_CHECKING:
    from mosaic_gateway.bound import Bound
    from mosaic_gateway.plugins import Loaded, Offer

_KINDS = {
    "tier": "mosaic_tiers",
    "storage": "mosaic_storages",
    "authority": "mosaic_authorities",
    "resource": "mosaic_resources",
    "listener": "mosaic_listeners",
    "audit sink": "mosaic_audit_sinks",
}


@click.group()
def plugins() -> None:
    """See which plugins are installed and loaded, and write new ones."""


plugins.add_command(new)


plugins.add_command(check)


@plugins.command(
    "list",
    epilog="""
\b
States: loaded · refused (note says why, and the gateway does not start) · installed (the config does not name it).
A note on a loaded plugin is a hook or an argument it uses that a coming release drops.

\b
Examples:
  mosaic plugins list
  mosaic plugins list --json | jq '.[] | select(.state == "refused") | .note'
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_plugins(shell: Shell, as_json: bool) -> None:
    """List every installed plugin: those of the config first, in its order, also one that cannot be loaded."""
    from mosaic_gateway.bound import bound
    from mosaic_gateway.plugins import installed

    offers = installed()
    found = bound(shell.source)
    loaded = {plugin.name: plugin for plugin in found.registry.plugins}
    rows = [
        _row(name, offers.get(name)) | _state(found, loaded.get(name), _why(found, name))
        for name in found.named
    ]
    idle = [_row(name, offer) for name, offer in sorted(offers.items()) if name not in found.named]
    shell.table(
        [*rows, *idle],
        columns=["name", "version", "distribution", "built_for", "state", "offers", "hooks", "note"],
        as_json=as_json,
        empty="no plugin is installed",
    )


def _row(name: str, offer: Offer | None) -> dict[str, Any]:
    try:
        built_for = offer.built_for if offer else ""
    except ConfigError as error:
        built_for = error.detail
    return {
        "name": name,
        "version": offer.version if offer else "",
        "distribution": offer.distribution if offer else "",
        "built_for": built_for,
        "state": "installed",
        "offers": [],
        "hooks": [],
        "note": "",
    }


def _why(found: Bound, name: str) -> str:
    """What is wrong with a plugin, or with its table of the config."""
    own = f"plugins.{name}"
    return "; ".join(
        fault.message if fault.where == own else str(fault)
        for fault in found.faults
        if fault.where == own or fault.where.startswith(f"{own}.")
    )


def _state(found: Bound, plugin: Loaded | None, why: str) -> dict[str, Any]:
    if plugin is None or why:
        return {"state": "refused", "note": why}
    callers = found.registry.manager.get_hookcallers(plugin.module) or []
    hooks = sorted(caller.name for caller in callers)
    try:
        offers = _offers(found, plugin)
    except ConfigError as error:
        return {"state": "refused", "hooks": hooks, "note": f"{error.detail}: {error.remedy}"}
    return {"state": "loaded", "offers": offers, "hooks": hooks, "note": "; ".join(plugin.warnings)}


def _offers(found: Bound, plugin: Loaded) -> list[str]:
    """What the plugin satisfies: its tier, storage, authority, audit sink, resources, listeners."""
    return [
        f"{kind} {item.name}" if hasattr(item, "name") else kind
        for kind, hook in _KINDS.items()
        for item in found.items_of(plugin, hook)
    ]
