"""Gateways of the local tier, composed and not started, with plugins that a test makes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from made_plugins import make_plugin
from mosaic_gateway.compose import Composition, compose
from mosaic_gateway.config import read_config

Composed = Callable[..., Composition]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Write a config of the local tier that names plugins, given by their source."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def config(settings: dict[str, Any] | None = None, **sources: str) -> Path:
        made.extend(make_plugin(tmp_path, name, source) for name, source in sources.items())
        tables = {name: {} for name in sources} | (settings or {})
        path = tmp_path / "mosaic.config.json"
        path.write_text(
            json.dumps(
                {"name": "work", "tier": "local", "data_dir": str(tmp_path / "data"), "plugins": tables}
            )
        )
        return path

    yield config
    for module in made:
        sys.modules.pop(module, None)


@pytest.fixture
def composed(config: Callable[..., Path]) -> Composed:
    return lambda **sources: compose(read_config(config(**sources)))
