"""What became of each source that was asked: told beside the rows, so that nobody takes a part for the whole."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mosaic_hookspecs.errors import (
    Forbidden,
    Gone,
    Invalid,
    Malformed,
    MosaicError,
    NotFound,
    TooMany,
    Unauthenticated,
)
from mosaic_hookspecs.sources import SourcePage, Status

log = logging.getLogger("mosaic.sources")

#: Asking again with the same cursor may help.
PASSING = frozenset({"timeout", "unavailable", "limited"})

_REFUSALS: tuple[tuple[type[MosaicError] | tuple[type[MosaicError], ...], Status], ...] = (
    ((Forbidden, Gone, Unauthenticated), "refused"),
    (NotFound, "absent"),
    (TooMany, "limited"),
    ((Malformed, Invalid), "invalid"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A page, or why there is none."""

    status: Status
    page: SourcePage | None = None
    error: MosaicError | None = None
    seconds: float = 0.0

    @property
    def detail(self) -> str:
        """What went wrong, in words."""
        return self.error.detail if self.error else ""

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.error.remedy if self.error else ""


def answered(page: SourcePage, seconds: float) -> Outcome:
    """The outcome of a source that has given rows."""
    return Outcome("stale" if page.why_old else "ok", page, page.why_old, seconds)


def failed(name: str, error: BaseException, seconds: float) -> Outcome:
    """The outcome of a source that has raised."""
    if isinstance(error, TimeoutError):
        return too_late(seconds)
    if not isinstance(error, MosaicError):
        log.error("source %s failed", name, exc_info=error)
        error = MosaicError(f"the source itself failed ({type(error).__name__})", remedy="ask the operator")
    status: Status = next((status for kind, status in _REFUSALS if isinstance(error, kind)), "unavailable")
    return Outcome(status, error=error, seconds=seconds)


def too_late(seconds: float) -> Outcome:
    """The outcome of a source that has not answered within ``seconds``."""
    late = MosaicError(
        f"no answer within {seconds:.3g} s", remedy="ask again, or give it more time: timeout=…"
    )
    return Outcome("timeout", error=late, seconds=seconds)
