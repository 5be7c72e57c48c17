"""``mosaic mcp`` before it speaks to anybody."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from mosaic_hookspecs.errors import Malformed, Unauthenticated
from mosaic_mcp.cli import mcp


@pytest.mark.parametrize(
    "url", ["http://gateway.example.org", "http://10.0.0.7:8080", "ftp://127.0.0.1", "here"]
)
def test_a_token_is_not_sent_in_clear_over_a_network(url: str) -> None:
    outcome = CliRunner().invoke(mcp, ["--url", url], env={"MOSAIC_TOKEN": "mos_secret"})
    assert isinstance(outcome.exception, Malformed)
    assert "mos_secret" not in str(outcome.exception)


@pytest.mark.parametrize(
    "url", ["https://gateway.example.org", "http://127.0.0.1:8080", "http://[::1]", "http://localhost"]
)
def test_elsewhere_it_would_be(url: str) -> None:
    outcome = CliRunner().invoke(mcp, ["--url", url], env={"MOSAIC_TOKEN": ""})
    assert isinstance(outcome.exception, Unauthenticated)
