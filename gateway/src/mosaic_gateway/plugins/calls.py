"""Call hooks plugin by plugin.

By hand on pluggy's ``get_hookimpls()``: a plain pluggy call loses which plugin answered, and one that raises
aborts the others without saying who it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from inspect import iscoroutine
from typing import Any

from mosaic_gateway.plugins.answers import checked
from mosaic_gateway.plugins.loader import Registry
from mosaic_gateway.plugins.watch import doing
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import PeerPolicy
from mosaic_hookspecs.types import PeerRequest, Verdict

log = logging.getLogger("mosaic.plugins")

_NOT_ASKED = Verdict.deny(
    "a policy of this gateway could not be asked", remedy="try again; if it lasts, tell its admin"
)


def each(
    registry: Registry, hook: str, *, host_for: Callable[[str], Any] | None = None
) -> list[tuple[str, Any]]:
    """Return (plugin name, answer) in the order of the config, leaving out those that answer None.

    ``host_for`` gives each plugin its own view of the host. Raises :class:`ConfigError` naming the plugin and the
    hook when one raises, or, within :func:`~mosaic_gateway.plugins.watch.watched`, does not come back.
    """
    return list(_answers(registry, hook, host_for, lambda _plugin, answer: answer))


def each_item(
    registry: Registry, hook: str, *, host_for: Callable[[str], Any] | None = None
) -> list[tuple[str, Any]]:
    """Return (plugin name, item) over hooks that answer with an iterable.

    Raises :class:`ConfigError` as :func:`each` does, and for an item that is not what the hook is for.
    """

    def items(plugin: str, answer: Any) -> list[Any]:
        return [checked(plugin, hook, item) for item in answer]  # a generator runs here

    return [(plugin, item) for plugin, found in _answers(registry, hook, host_for, items) for item in found]


def _answers(
    registry: Registry,
    hook: str,
    host_for: Callable[[str], Any] | None,
    read: Callable[[str, Any], Any],
) -> Iterator[tuple[str, Any]]:
    impls = {impl.plugin_name: impl for impl in getattr(registry.manager.hook, hook).get_hookimpls()}
    for plugin in registry.plugins:
        if plugin.name not in impls:
            continue
        impl = impls[plugin.name]
        doing(f"plugin {plugin.name!r}: {hook}")
        try:
            args = [host_for(plugin.name)] if host_for and "host" in impl.argnames else []
            answer = impl.function(*args)
            if iscoroutine(answer):
                answer.close()
                raise TypeError("it is async, and a hook registers: use a plain function")
            value = None if answer is None else read(plugin.name, answer)
        except ConfigError as error:
            raise _named(plugin.name, error) from error
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"plugin {plugin.name!r}: {hook} raised {type(error).__name__}: {error}",
                remedy="report it to the plugin's author, or take the plugin out of the config",
            ) from error
        finally:
            doing("")
        if value is not None:
            yield plugin.name, value


def _named(plugin: str, error: ConfigError) -> ConfigError:
    """The error of a plugin, which need not have said whose it is."""
    if plugin in str(error):
        return error
    return ConfigError(f"plugin {plugin!r}: {error.detail}", remedy=error.remedy, faults=error.faults)


async def consult(
    policies: Sequence[tuple[str, PeerPolicy]], request: PeerRequest, *, patience: float
) -> Verdict:
    """Ask policies in order; the first denial is the answer. One that fails, or takes too long, denies."""
    for plugin, policy in policies:
        verdict = await _verdict(plugin, policy, request, patience)
        if not verdict.allowed:
            why = (plugin, policy.name, request.peer, request.grant_id, verdict.reason)
            log.info("plugin %r: policy %r denies %r, grant %s: %s", *why)
            return verdict
    return Verdict.allow()


async def _verdict(plugin: str, policy: PeerPolicy, request: PeerRequest, patience: float) -> Verdict:
    try:
        verdict = await _within(patience, policy.decide(request))
    except TimeoutError:
        log.error(  # noqa: TRY400 - where it was waited for tells nothing
            "plugin %r: policy %r did not decide within %g s: denied", plugin, policy.name, patience
        )
        return _NOT_ASKED
    except Exception:
        log.exception("plugin %r: policy %r failed: denied", plugin, policy.name)
        return _NOT_ASKED
    if not isinstance(verdict, Verdict) or not isinstance(verdict.allowed, bool):
        log.error("plugin %r: policy %r returned no verdict: denied", plugin, policy.name)
        return _NOT_ASKED
    return verdict


async def broadcast(
    registry: Registry, hook: str, *, host_for: Callable[[str], Any], patience: float, **facts: object
) -> None:
    """Tell every plugin that has ``hook``, at the same time. One that fails is named in the log, no more."""
    impls = getattr(registry.manager.hook, hook).get_hookimpls()
    await asyncio.gather(
        *(_tell(impl, hook, {**facts, "host": host_for(impl.plugin_name)}, patience) for impl in impls)
    )


async def _tell(impl: Any, hook: str, facts: dict[str, object], patience: float) -> None:
    try:
        await _within(patience, impl.function(*(facts[name] for name in impl.argnames)))
    except TimeoutError:
        log.error(  # noqa: TRY400 - as above
            "plugin %r: %s did not end within %g s", impl.plugin_name, hook, patience
        )
    except Exception:
        log.exception("plugin %r: %s failed", impl.plugin_name, hook)


async def _within(patience: float, work: Awaitable[Any]) -> Any:
    """What ``work`` returns. Raises :class:`TimeoutError` even if it will not be cancelled.

    One that cancels itself has failed: nobody who waits for it is cancelled by that.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=patience)
        if not done:
            raise TimeoutError
        if task.cancelled():
            raise RuntimeError("it was cancelled from within")
        return task.result()
    finally:
        task.cancel()
