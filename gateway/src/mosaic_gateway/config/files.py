"""Read a config file and the environment over it. The only file that knows dynaconf."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mosaic_hookspecs.errors import ConfigError

# Dynaconf imports Flask, if it is there, for an extension that is not used: a quarter second of each command.
_flask = sys.modules.get("flask")
sys.modules["flask"] = None  # type: ignore[assignment]
from dynaconf import Dynaconf  # noqa: E402

if _flask is None:
    del sys.modules["flask"]
else:
    sys.modules["flask"] = _flask

CONFIG_NAMES = ("mosaic.config.json", "mosaic.config.toml", "mosaic.config.yaml", "mosaic.config.yml")
_NOT_SETTINGS = {"config"}  # MOSAIC_CONFIG names the file itself


@dataclass(frozen=True, slots=True)
class Source:
    """A config as plain data, and the file it came from."""

    path: Path
    data: dict[str, Any]


def find_config(directory: Path) -> Path:
    """Return the config file of a directory. Raises :class:`ConfigError` if there is none."""
    for name in CONFIG_NAMES:
        if (path := directory / name).is_file():
            return path
    raise ConfigError(
        f"no config found: {directory} has none of {', '.join(CONFIG_NAMES)}",
        remedy="run `mosaic gateway init`, or name the file with --config or MOSAIC_CONFIG",
    )


def read_config(path: Path) -> Source:
    """Read a JSON, TOML or YAML file; ``MOSAIC_A__B=value`` overrides ``a.b``.

    Raises :class:`ConfigError` for a file that is missing, unreadable, of unknown type or malformed.
    """
    _check_syntax(path)
    settings = Dynaconf(
        settings_files=[str(path.absolute())],
        envvar_prefix="MOSAIC",
        environments=False,
        core_loaders=["YAML", "TOML", "JSON"],
    )
    data = {key: value for key, value in _plain(settings.as_dict()).items() if key not in _NOT_SETTINGS}
    return Source(path.absolute(), data)


def _check_syntax(path: Path) -> None:
    """Dynaconf's own parse errors do not name the file; and it takes a missing file for an empty one."""
    parse: dict[str, Callable[[str], object]] = {
        ".json": json.loads,
        ".toml": tomllib.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    if path.suffix not in parse:
        raise ConfigError(f"{path}: unknown type of config file", remedy=f"use one of {', '.join(parse)}")
    try:
        top = parse[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: {error.msg}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(
            f"{path}{where}: {getattr(error, 'problem', None) or 'is not valid YAML'}"
        ) from None
    if not isinstance(top, dict):
        raise ConfigError(f"{path}: expected a table of settings at the top")


def _plain(value: Any) -> Any:
    """Dynaconf upper-cases top-level keys, and those that only the environment names."""
    if isinstance(value, dict):
        return {(k.lower() if k.isupper() else k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value
