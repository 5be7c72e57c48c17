"""What a peer may say of itself: none of it grows without bound in our database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from mosaic_federation.offers import Issued, read_whoami

PERSON = {"id": "0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11", "username": "lead"}
WHOAMI = {"gateway": "work", "grant_id": PERSON["id"], "subject": PERSON, "scope": {"resources": ["tasks"]}}


def said(**changes: Any) -> bytes:
    return json.dumps(WHOAMI | changes).encode()


@pytest.mark.parametrize("large", [{"x": "y" * 300_000}, {"x": ["y"] * 100_000}, {"y" * 300_000: 1}])
def test_a_scope_is_not_stored_whatever_its_size(large: Any) -> None:
    assert read_whoami(said()).scope == WHOAMI["scope"]
    with pytest.raises(ValidationError, match="scope"):
        read_whoami(said(scope=large))
    with pytest.raises(ValidationError, match="scope"):
        Issued.model_validate({"scope": large, "url": "https://work.example", "chain": "", "ca": ""})


@pytest.mark.parametrize("words", [["y" * 301], ["y"] * 10_001, ["\x1b[2J"], ["a\u202eb"]])
def test_words_are_few_and_printable(words: list[str]) -> None:
    assert read_whoami(said(scope_in_words=["read, list and search tasks"]))
    with pytest.raises(ValidationError, match="scope_in_words"):
        read_whoami(said(scope_in_words=words))
