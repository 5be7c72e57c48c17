"""The gateways of tests/federation, for attacks on them: pytest gives a folder the fixtures of those above it only."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_FILE = Path(__file__).parents[1] / "federation" / "conftest.py"
_spec = importlib.util.spec_from_file_location("federation_gateways", _FILE)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _module  # dataclasses look themselves up
_spec.loader.exec_module(_module)

new_gateway = _module.new_gateway
