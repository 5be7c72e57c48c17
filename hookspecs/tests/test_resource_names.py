"""A resource cannot take the place of a route, on either listener."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import BaseModel

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import ROUTES, PeerVerb, Resource


class Note(BaseModel):
    title: str


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_a_name_that_is_a_routes_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(ConfigError, match="rename it") as caught:
        Resource(name, Note, "Notes")
    assert repr(name) in caught.value.detail


def test_whatever_peers_ask_beside_resources_is_such_a_name() -> None:
    assert set(get_args(PeerVerb)) - {"list", "get", "other"} <= ROUTES
    assert Resource("notes", Note, "Notes").name == "notes"
