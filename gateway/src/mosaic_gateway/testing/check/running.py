"""Check an installed plugin: what can be said of it at sight, then every suite for what it registers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

from mosaic_gateway.testing.check.checked import Checked
from mosaic_gateway.testing.check.sight import LOADS, at_sight
from mosaic_gateway.testing.check.subject import SUITES, Settings, Subject, missing, subject
from mosaic_hookspecs.errors import ConfigError

_NEEDED = ("pytest", "pytest_asyncio", "pytest_timeout", "httpx")
#: What a gateway that starts has asked for, and used.
_ANSWERED = ("mosaic_settings", "mosaic_lifespan", "mosaic_migrations", "mosaic_sealed_columns")
_SECONDS = 60  # for one rule; the slowest waits ten


def check(plugin: str, settings: Settings) -> list[Checked]:
    """Check one plugin, in this process. Raises :class:`ConfigError` where the extra ``testing`` is not installed."""
    if lacking := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"to check plugins takes {', '.join(lacking)}", remedy="pip install 'mosaic-gateway[testing]'"
        )
    seen = list(at_sight(plugin, settings.plugins.get(plugin, {})))
    if any(each.rule == LOADS and each.outcome != "passed" for each in seen):
        return seen
    try:
        with subject(plugin, settings) as found:
            return [*seen, *_suites(found), *_left_out(found)]
    except ConfigError as error:
        return [*seen, Checked(plugin, "plugin", "", "a gateway composes with it", "failed", missing(error))]


def _left_out(found: Subject) -> Iterator[Checked]:
    """Hooks without a suite."""
    registry = found.composition.registry
    [module] = [each.module for each in registry.plugins if each.name == found.plugin]
    hooks = {caller.name for caller in registry.manager.get_hookcallers(module) or []}
    for hook in sorted(hooks - {*SUITES, *_ANSWERED}):
        yield Checked(found.plugin, hook, "", "", "left out", "there is no suite for it")


def _suites(found: Subject) -> list[Checked]:
    import pytest

    from mosaic_gateway.testing.check.results import Results

    results = Results(found)
    options = ["asyncio_mode=auto", "python_files=suite_*.py"]
    options += [f"asyncio_default_{what}_loop_scope=session" for what in ("fixture", "test")]
    arguments = [argument for option in options for argument in ("-o", option)]
    folder = os.fspath(found.composition.source.path.parent)
    arguments += ["-c", os.devnull, "--rootdir", folder, "--noconftest"]
    arguments += [
        "-p",
        "pytest_asyncio.plugin",
        "-p",
        "pytest_timeout",
        "-p",
        f"{__package__}.fixtures",
        f"--timeout={_SECONDS}",
    ]
    arguments += ["-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture=sys", "--tb=no"]
    # pytest's own report is not ours, and pytest-timeout needs one to write to
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""}
    with redirect_stdout(StringIO()), _environment(**alone):
        code = pytest.main([*arguments, "--pyargs", "mosaic_gateway.testing.check"], plugins=[results])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest itself failed ({code!r})")
    return results.checked


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
