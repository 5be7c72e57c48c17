"""W3C Trace Context, as far as a gateway takes part in it."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_hookspecs.tracing import Trace, begin, current_trace, trace_id

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{ID}-{SPAN}-01"
_VALID = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def test_a_span_belongs_to_the_trace_that_was_sent() -> None:
    trace = Trace.received(SENT)
    assert (trace.trace_id, trace.parent_id, trace.flags) == (ID, SPAN, "01")
    assert trace.span_id != SPAN
    child = trace.child()
    assert (child.trace_id, child.parent_id) == (ID, trace.span_id)
    assert child.header == f"00-{ID}-{child.span_id}-01"


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert Trace.received(f"cc-{ID}-{SPAN}-00-what-will-be").trace_id == ID


@pytest.mark.parametrize(
    "sent",
    [
        "",
        f"{SENT}-more",
        f"{SENT} ",
        f"{SENT}\n",
        SENT.upper(),
        f"ff-{ID}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID}-{SPAN}-1",
        f"01-{ID}-{SPAN}-01x",
        f"cc-{ID}-{SPAN}-01-{'x' * 600}",
        SENT.replace("4", "٤"),
    ],
)
def test_what_is_malformed_begins_a_new_trace(sent: str) -> None:
    trace = Trace.received(sent)
    assert (trace.trace_id == ID, trace.parent_id) == (False, "")


@given(
    st.one_of(
        st.text(max_size=80),
        st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.?", fullmatch=True),
    )
)
def test_whatever_is_sent_what_is_passed_on_is_valid(sent: str) -> None:
    assert _VALID.fullmatch(Trace.received(sent).child().header)


async def test_each_task_has_the_trace_it_was_started_in() -> None:
    async def request(sent: str) -> tuple[str, str]:
        begin(sent)
        await asyncio.sleep(0)
        return trace_id(), await asyncio.create_task(later())

    async def later() -> str:
        return current_trace().trace_id

    other = SENT.replace("4bf", "5bf")
    both = await asyncio.gather(asyncio.create_task(request(SENT)), asyncio.create_task(request(other)))
    assert both == [(ID, ID), (other[3:35], other[3:35])]
