"""The probe ``step-ca``: whether the authority can be reached, is ours, knows us, and is not about to end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Finding, Probe
from mosaic_step_ca.state import State, state_of

_SOON = timedelta(days=30)
_SKEW = timedelta(seconds=20)  # tokens bear 60 s, and grow 30 s old on the way


def authority_probe(host: Host) -> Probe:
    """For the doctor. Not one the tier is ready by: what is signed already works without the authority."""

    async def check() -> Finding:
        return judge(await state_of(host), datetime.now(UTC))

    return Probe("step-ca", check)


def judge(state: State, now: datetime) -> Finding:
    """The worst there is to say."""
    unknown = [name for name, known in state.provisioners.items() if not known]
    ends = min(state.root_ends, state.intermediate_ends)
    if not state.provisioners:
        return Finding("red", "this gateway has no key of it", "run `mosaic federation ca init`")
    if unknown:
        return Finding(
            "red",
            f"it does not know this gateway's keys: {', '.join(unknown)}",
            "give it the ca.json that `mosaic federation ca init` wrote, and have it reload (SIGHUP)",
        )
    if state.list_ends <= now:
        return Finding(
            "red", "its revocation list is too old", "look into its log: it makes one every 5 minutes"
        )
    if ends <= now + _SOON:
        return Finding(
            "yellow" if ends > now else "red",
            f"its own certificates end on {ends:%Y-%m-%d}",
            "have a new intermediate signed with the root's key; for a new root every peer enrolls anew",
        )
    if abs(state.clock) > _SKEW:
        return Finding(
            "yellow",
            f"its clock differs from ours by {abs(state.clock).total_seconds():.0f} s; from 60 s on it signs nothing",
            "set both clocks by NTP",
        )
    return Finding(
        "green", f"{state.url}; its certificates last until {ends:%Y-%m-%d}; {state.revoked} revoked"
    )
