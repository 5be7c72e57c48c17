"""What a plugin keeps sealed it also declares: else `mosaic secrets rotate` would pass it by."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files

import pytest

_TABLE = re.compile(r"CREATE TABLE (\w+) \((.*?)^\);", re.DOTALL | re.MULTILINE)
_ADDED = re.compile(r"ALTER TABLE (\w+)\s(.*?);", re.DOTALL)
_SEALED = re.compile(r"^\s*(?:ADD COLUMN )?(sealed_\w+)\s+bytea", re.MULTILINE)

PLUGINS = sorted(point.name for point in entry_points(group="mosaic"))


@pytest.mark.parametrize("name", PLUGINS)
def test_each_sealed_column_of_a_plugin_is_declared(name: str) -> None:
    [point] = entry_points(group="mosaic", name=name)
    plugin = import_module(point.value)
    there = {
        (table, column)
        for migrations in getattr(plugin, "mosaic_migrations", tuple)()
        for file in files(migrations.package).iterdir()
        if file.name.endswith(".sql")
        for table, body in _TABLE.findall(file.read_text()) + _ADDED.findall(file.read_text())
        for column in _SEALED.findall(body)
    }
    declared = {(one.table, one.column) for one in getattr(plugin, "mosaic_sealed_columns", tuple)()}
    assert declared == there


def test_some_plugin_has_one() -> None:
    """Else the test above would look for the wrong words."""
    assert {"embedded_ca", "federation"} <= set(PLUGINS)
