"""The parts of Hypercorn that the gateway leans on are those it was written against, and one place leans on them."""

from __future__ import annotations

import hashlib
import inspect
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import mosaic_gateway

WRITTEN_AGAINST = {
    "hypercorn.app_wrappers": "73b5284c21881692",
    "hypercorn.asyncio.task_group": "71257bea26162a3e",
    "hypercorn.asyncio.worker_context": "b1f2929943535272",
    "hypercorn.config": "a10e8c834fefe6bc",
    "hypercorn.events": "d62b2f03f0ed7f78",
    "hypercorn.protocol.events": "d22d1846c7821b3f",
    "hypercorn.protocol.h11": "5d2cfe635578adc6",
    "hypercorn.protocol.h2": "4023f69abd2239e5",
    "hypercorn.protocol.http_stream": "b28bb59de67f2f28",
}


LEANING = {  # on internals; and the fast HTTP/1.1, which says what it has to say in Hypercorn's two plain events
    "serving/hypercorn_connection.py",
    "serving/hypercorn_protocols.py",
    "serving/hypercorn_shared.py",
    "serving/fast.py",
}


def test_nothing_else_of_the_gateway_leans_on_hypercorn() -> None:
    root = Path(mosaic_gateway.__path__[0])
    imports = re.compile(r"^\s*(from|import) hypercorn\b", re.MULTILINE)
    found = {
        file.relative_to(root).as_posix() for file in root.rglob("*.py") if imports.search(file.read_text())
    }
    assert found == LEANING


def test_hypercorn_is_of_the_series_it_was_written_for() -> None:
    assert version("hypercorn").startswith("0.18.")


@pytest.mark.parametrize("module", WRITTEN_AGAINST)
def test_the_internals_have_not_changed(module: str) -> None:
    source = inspect.getsource(import_module(module))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == WRITTEN_AGAINST[module], (
        f"{module} changed: read its diff beside serving/hypercorn_*.py, see that every override and "
        "every attribute used there still means the same, then write the new digest here"
    )
