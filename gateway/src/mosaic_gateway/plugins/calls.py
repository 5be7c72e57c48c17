"""Call hooks plugin by plugin.

By hand on pluggy's ``get_hookimpls()``: a plain pluggy call loses which plugin answered, and one that raises
aborts the others without saying who it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mosaic_gateway.plugins.loader import Registry
from mosaic_hookspecs.errors import ConfigError


def each(
    registry: Registry, hook: str, *, host_for: Callable[[str], Any] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield (plugin name, answer) in the order of the config, leaving out those that answer None.

    ``host_for`` gives each plugin its own view of the host. Raises :class:`ConfigError` naming the plugin
    and the hook when one raises.
    """
    impls = {impl.plugin_name: impl for impl in getattr(registry.manager.hook, hook).get_hookimpls()}
    for plugin in registry.plugins:
        if plugin.name not in impls:
            continue
        impl = impls[plugin.name]
        args = [host_for(plugin.name)] if host_for and "host" in impl.argnames else []
        try:
            value = impl.function(*args)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"plugin {plugin.name!r}: {hook} raised {type(error).__name__}: {error}",
                remedy="report it to the plugin's author, or take the plugin out of the config",
            ) from error
        if value is not None:
            yield plugin.name, value


def each_item(
    registry: Registry, hook: str, *, host_for: Callable[[str], Any] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield (plugin name, item) over hooks that answer with an iterable."""
    for name, items in each(registry, hook, host_for=host_for):
        for item in items:
            yield name, item
