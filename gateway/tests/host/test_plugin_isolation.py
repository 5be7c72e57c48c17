"""One plugin that fails is named, with what to do, and cannot fail for the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mosaic_gateway.compose import Composition, compose
from mosaic_gateway.config import read_config
from mosaic_gateway.plugins import answers, watch
from mosaic_hookspecs import specs
from mosaic_hookspecs.errors import ConfigError

Composed = Callable[..., Composition]
HOOKS = [name for name in vars(specs) if name.startswith("mosaic_")]
AT_ONCE = [  # those that composing calls; each of the others is called by what needs it
    "mosaic_tiers",
    "mosaic_storages",
    "mosaic_queues",
    "mosaic_caches",
    "mosaic_limiters",
    "mosaic_migrations",
    "mosaic_sealed_columns",
    "mosaic_resources",
    "mosaic_embedders",
    "mosaic_probes",
    "mosaic_authorities",
    "mosaic_audit_sinks",
    "mosaic_peer_policies",
]
LATER = {
    "mosaic_listeners": "listeners",
    "mosaic_routes": "mounts",
    "mosaic_sources": "sources",
    "mosaic_jobs": "jobs",
    "mosaic_discoveries": "discoveries",
    "mosaic_lifespan": "lifespans",
}
TOLD = ["mosaic_peer_enrolled", "mosaic_peer_revoked", "mosaic_grant_changed"]  # see broadcast
LISTS = [hook for hook in [*AT_ONCE, *LATER] if hook != "mosaic_lifespan"]


def hook(name: str, body: str, *, head: str = "def") -> str:
    host = (
        ""
        if name in ("mosaic_tiers", "mosaic_migrations", "mosaic_sealed_columns", "mosaic_resources")
        else "host"
    )
    return f"@hookimpl\n{head} {name}({host}):\n    {body}\n"


def refusal(composed: Composed, hook: str, source: str) -> ConfigError:
    """Why a gateway with this plugin does not start."""
    with pytest.raises(ConfigError) as caught:
        getattr(composed(odd=source), LATER.get(hook, "tier"))
    assert caught.value.remedy
    return caught.value


def test_every_hook_is_tried_here_and_says_what_its_items_are() -> None:
    assert sorted([*AT_ONCE, *LATER, *TOLD, "mosaic_settings"]) == sorted(HOOKS)
    assert sorted(answers.ITEMS) == sorted(LISTS)


@pytest.mark.parametrize("name", [*AT_ONCE, *LATER])
def test_a_hook_that_raises_refuses_the_boot(composed: Composed, name: str) -> None:
    error = refusal(composed, name, hook(name, "raise RuntimeError('boom')"))
    assert error.detail == f"plugin 'odd': {name} raised RuntimeError: boom"
    assert "take the plugin out of the config" in error.remedy


@pytest.mark.parametrize("name", LISTS)
def test_a_hook_that_answers_with_something_else_refuses_the_boot(composed: Composed, name: str) -> None:
    error = refusal(composed, name, hook(name, "return [object()]"))
    assert error.detail.startswith(f"plugin 'odd': {name}")
    assert "an object of class object" in error.detail


@pytest.mark.parametrize(
    ("body", "head", "why"),
    [
        ("yield from ()\n    raise RuntimeError('boom')", "def", "raised RuntimeError: boom"),
        ("return 7", "def", "raised TypeError: 'int' object is not iterable"),
        ("return []", "async def", "raised TypeError: it is async, and a hook registers"),
        ("raise SystemExit(0)", "def", "raised SystemExit: 0"),
        ("return host.oracle.fetch()", "def", "asked for host.oracle, which this gateway does not have"),
        ("return [host.database]", "def", "host.database was used before the gateway was up"),
    ],
    ids=["generator", "no list", "async", "exit", "unknown protocol", "too early"],
)
def test_whatever_a_hook_does_its_plugin_is_named(composed: Composed, body: str, head: str, why: str) -> None:
    error = refusal(composed, "mosaic_probes", hook("mosaic_probes", body, head=head))
    assert error.detail.startswith("plugin 'odd'")
    assert why in error.detail


def test_a_hook_that_hangs_is_named(composed: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import threading\n" + hook("mosaic_listeners", "threading.Event().wait()")
    up = composed(odd=source)
    monkeypatch.setattr(watch, "PATIENCE", 0.05)
    with pytest.raises(ConfigError, match=r"plugin 'odd': mosaic_listeners did not come back within 0\.05 s"):
        _ = up.listeners


PROBE = """
from mosaic_hookspecs.types import Finding, Job, Listener, Mount, Probe, SealedColumn
async def check(): return Finding("green", "fine")
async def run(data): ...
"""


@pytest.mark.parametrize(
    ("name", "item", "what"),
    [
        ("mosaic_probes", "Probe('disk', check)", "probe 'disk'"),
        ("mosaic_jobs", "Job('clean', run)", "job 'clean'"),
        ("mosaic_listeners", "Listener('side', '127.0.0.1', 1)", "listener 'side'"),
        ("mosaic_sealed_columns", "SealedColumn('t', 'c', 'id', 't/{id}/c')", "sealed column 't.c'"),
    ],
)
def test_a_name_offered_twice_names_both_plugins(composed: Composed, name: str, item: str, what: str) -> None:
    source = PROBE + hook(name, f"return [{item}]")
    with pytest.raises(ConfigError, match=rf"{what} is offered by both 'one' and 'two'") as caught:
        getattr(composed(one=source, two=source), LATER.get(name, "tier"))
    assert "take one of them out of the config" in caught.value.remedy


def test_routes_on_a_listener_that_nobody_offers(composed: Composed) -> None:
    source = "from quart import Blueprint\n" + PROBE
    source += hook("mosaic_routes", "return [Mount('back', Blueprint('odd', __name__))]")
    error = refusal(composed, "mosaic_routes", source)
    assert error.detail == "plugin 'odd' mounts routes on unknown listener 'back'; there are: public"
    assert error.remedy == "add the plugin that offers it to the config, or take 'odd' out"


def test_a_queue_that_nobody_offers(config: Callable[..., Path]) -> None:
    path = config(odd="")
    path.write_text(json.dumps({**json.loads(path.read_text()), "queue": {"type": "rabbit"}}))
    with pytest.raises(ConfigError) as caught:
        compose(read_config(path))
    assert "queue" in str(caught.value)
    assert "rabbit" in str(caught.value)


OLD_LIMITER = """
class Limiter:
    name = "of-before"
    def open(self): ...
    async def take(self, key, rate): ...
@hookimpl
def mosaic_limiters(host):
    return [Limiter()]
"""


def test_what_is_not_picked_need_not_be_whole(composed: Composed) -> None:
    assert composed(spare=OLD_LIMITER).limiter.name == "memory"


def test_what_is_picked_must_be_whole(config: Callable[..., Path]) -> None:
    source = "class Storage:\n    name = 'odd'\n" + hook("mosaic_storages", "return [Storage()]")
    path = config(odd=source)
    path.write_text(json.dumps({**json.loads(path.read_text()), "storage": {"type": "odd"}}))
    with pytest.raises(ConfigError, match=r"plugin 'odd': storage 'odd': .* lacks open of Storage"):
        compose(read_config(path))


def test_an_object_that_lacks_a_method_of_its_protocol_is_refused(composed: Composed) -> None:
    source = "class Policy:\n    name = 'hours'\n" + hook("mosaic_peer_policies", "return [Policy()]")
    error = refusal(composed, "mosaic_peer_policies", source)
    assert error.detail == (
        "plugin 'odd': mosaic_peer_policies: an object of class Policy lacks decide of PeerPolicy"
    )
    assert "built for another mosaic-hookspecs" in error.remedy
