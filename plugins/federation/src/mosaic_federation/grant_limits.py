"""How much the peer of one grant may ask.

Beside its scope and not in it: a scope says what a peer sees, is announced to it and has a published schema, which a
gateway of an older release reads strictly. How often it may be asked for is this gateway's own affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from mosaic_hookspecs.errors import Fault, Invalid
from mosaic_hookspecs.models import Model

PerMinute = Annotated[int, Field(ge=1, le=6_000_000)]
Concurrency = Annotated[int, Field(ge=1, le=1000)]


class GrantLimits(Model):
    """A grant's own limits. In a change, what is not given stays as it is."""

    model_config = ConfigDict(strict=True)

    requests_per_minute: PerMinute | None = None
    """None: `plugins.federation.limits.requests_per_grant`."""
    concurrency: Concurrency | None = None
    """Requests at once, in each process. None: its places are those of its peer."""

    @classmethod
    def of(cls, given: Mapping[str, int | None]) -> GrantLimits:
        """Raises :class:`Invalid` for what cannot be."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = [Fault(str(each["loc"][0]), each["msg"]) for each in error.errors(include_url=False)]
            raise Invalid("the limits are not valid", faults=faults) from None

    def over(self, rate: int | None, concurrency: int | None) -> tuple[int | None, int | None]:
        """These limits where they are given, else those."""
        given = self.model_fields_set
        return (
            self.requests_per_minute if "requests_per_minute" in given else rate,
            self.concurrency if "concurrency" in given else concurrency,
        )
