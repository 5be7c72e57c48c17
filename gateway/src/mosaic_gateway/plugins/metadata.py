"""What installed distributions say of their plugins. Nothing of theirs is imported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution, EntryPoint, PackageMetadata, version

from mosaic_gateway.installed import offered
from mosaic_hookspecs import PROJECT
from mosaic_hookspecs.errors import ConfigError

HOOKSPECS = "mosaic-hookspecs"
_REQUIREMENT = re.compile(r"(?i)mosaic[-_.]hookspecs(?![\w.-])")
_RELEASE = re.compile(r"\d+(?:\.\d+)*\Z")
_BOUND = re.compile(r"\s*(>=|<)\s*(\d+(?:\.\d+)*)\s*\Z")


@dataclass(frozen=True)
class Offer:
    """A plugin as the entry points of group ``mosaic`` have it."""

    name: str
    module: str
    distributions: tuple[Distribution, ...]  # more than one: they quarrel over the name, and none may have it

    @cached_property
    def _facts(self) -> list[PackageMetadata]:
        return [each.metadata for each in self.distributions]

    @property
    def distribution(self) -> str:
        """Name of the distribution; of all that offer this plugin."""
        return ", ".join(sorted(str(each["Name"]) for each in self._facts))

    @property
    def version(self) -> str:
        """Its version, as in ``1.2.0``."""
        return str(self._facts[0]["Version"])

    @cached_property
    def built_for(self) -> str:
        """The releases of mosaic-hookspecs it was built for, as in ``>=0.2,<0.3``; empty if it does not say.

        Raises :class:`ConfigError` for what is no requirement (PEP 508).
        """
        lines = self._facts[0].get_all("Requires-Dist", [])
        found = [_specifier(line) for line in lines if _REQUIREMENT.match(line)]
        bounds = {bound for each in found for bound in each.split(",") if bound}
        return ",".join(sorted(bounds, reverse=True))  # >= before <

    def refuse_unfit(self) -> None:
        """Raise :class:`ConfigError` unless it may be loaded: one distribution offers it, built for these hooks."""
        if len(self.distributions) > 1:
            raise ConfigError(
                f"plugin {self.name!r} is offered by more than one distribution: {self.distribution}",
                remedy="uninstall all but one",
            )
        here = version(HOOKSPECS)
        if not satisfies(here, self.built_for):
            raise ConfigError(
                f"plugin {self.name!r} ({self.distribution} {self.version}) was built for {HOOKSPECS} "
                f"{self.built_for}, and {here} is installed",
                remedy=_which_to_upgrade(here, self),
            )


def installed() -> dict[str, Offer]:
    """Plugins by name. The metadata of all distributions is read once, until one comes or goes."""
    points: dict[str, list[EntryPoint]] = {}
    for point in offered(PROJECT):
        points.setdefault(point.name, []).append(point)
    return {
        name: Offer(name, found[0].module, tuple(each.dist for each in found if each.dist))
        for name, found in points.items()
    }


def satisfies(release: str, specifier: str) -> bool:
    """Whether a version is within a specifier (PEP 440), as ``packaging`` has it, prereleases included.

    By hand for plain bounds, which is what plugins have: the import of ``packaging`` takes longer than loading them.
    """
    bounds = [_BOUND.match(part) for part in specifier.split(",")] if specifier else []
    if _RELEASE.match(release) and all(bounds):
        have = _numbers(release)
        return all(
            have >= _numbers(each[2]) if each[1] == ">=" else have < _numbers(each[2])
            for each in bounds
            if each
        )
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - see above

    return SpecifierSet(specifier).contains(release, prereleases=True)


def _specifier(line: str) -> str:
    """Of a Requires-Dist line for hookspecs; empty if it asks for none, or only for an extra."""
    plain = _REQUIREMENT.sub("", line)
    if not plain or all(_BOUND.match(part) for part in plain.split(",")):
        return plain.replace(" ", "")
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - as above

    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        raise ConfigError(
            f"its metadata asks for {line!r}, which is no requirement", remedy="reinstall it"
        ) from None
    applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
    return str(wanted.specifier) if applies else ""


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, re.sub(r"(\.0+)+\Z", "", release).split(".")))


def _which_to_upgrade(here: str, offer: Offer) -> str:
    first = re.search(r"(?:>=|==|~=|>)\s*([\d.]+)", offer.built_for)
    if first and not satisfies(here, f">={first[1]}"):
        return f"upgrade the gateway: pip install --upgrade mosaic-gateway {HOOKSPECS}"
    return (
        f"upgrade the plugin: pip install --upgrade {offer.distribution}; if no release of it is built for {here}, "
        "take it out of the config"
    )
