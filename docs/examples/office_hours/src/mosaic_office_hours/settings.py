"""The table ``plugins.office_hours`` of the config."""

from datetime import time
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from mosaic_hookspecs.models import Model

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Network = IPv4Network | IPv6Network


def _known(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError):  # none, a directory, and what is no relative path
        raise ValueError(f"{zone!r} is no time zone that this machine knows, such as Europe/Oslo") from None
    return zone


class Settings(Model):
    """When and from where peers may ask."""

    zone: Annotated[str, AfterValidator(_known)]
    """Time zone of the hours, by its IANA name."""
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri")
    """Days on which peers may ask."""
    opens: time = time(8)
    """From then on."""
    closes: time = time(17)
    """Not any more."""
    networks: tuple[Network, ...] | None = None
    """From where; not set: from anywhere."""

    @model_validator(mode="after")
    def _in_order(self) -> "Settings":
        if self.opens >= self.closes:
            raise ValueError("opens: comes after closes")
        return self
