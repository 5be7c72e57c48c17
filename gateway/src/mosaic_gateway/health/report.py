"""What the doctor says: the models behind `--json` and docs/reference/doctor.schema.json."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from mosaic_gateway.health.probes import Checked
from mosaic_hookspecs.models import Model

Status = Literal["green", "yellow", "red"]
_ORDER: tuple[Status, ...] = ("green", "yellow", "red")


class Entry(Model):
    """One finding."""

    probe: str
    """What was looked at."""
    plugin: str
    """Who looked: a plugin, or `gateway`."""
    status: Status
    detail: str
    """What was seen, without any secret."""
    remedy: str
    """What to do; empty if nothing has to be done."""
    fixable: bool
    """Whether `mosaic gateway doctor --fix` can do it."""
    milliseconds: Annotated[float, Field(ge=0)]
    """How long it took."""


class PluginState(Model):
    """One plugin of the config."""

    name: str
    distribution: str
    version: str
    state: Literal["loaded"]
    """`loaded`: a plugin that does not load makes the finding `configuration` red instead."""


class Diagnosis(Model):
    """A gateway's health at one moment."""

    status: Status
    """The worst of all findings."""
    version: str
    """Of mosaic-gateway."""
    gateway: str | None
    """Its name; null if the configuration cannot be used, as for the next three."""
    tier: str | None
    services: list[str]
    """What the tier and the config need: a storage, a queue, pgvector."""
    plugins: list[PluginState]
    examined_at: datetime
    milliseconds: Annotated[float, Field(ge=0)]
    """How long the whole examination took."""
    findings: list[Entry]


def entries(checked: Sequence[Checked]) -> list[Entry]:
    """Findings as they are published."""
    return [
        Entry(
            probe=each.name,
            plugin=each.plugin,
            status=each.finding.status,
            detail=each.finding.detail,
            remedy=each.finding.remedy,
            fixable=each.finding.fix is not None,
            milliseconds=round(each.seconds * 1000, 2),
        )
        for each in checked
    ]


def worst(checked: Sequence[Checked]) -> Status:
    """The status that decides: red over yellow over green."""
    return max((each.finding.status for each in checked), key=_ORDER.index, default="green")
