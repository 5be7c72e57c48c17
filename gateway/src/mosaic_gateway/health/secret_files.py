"""Files that hold secrets and are an operator's own: the config, password files, the key of a client certificate."""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from pathlib import Path

from mosaic_gateway.compose import Composition
from mosaic_gateway.config import read_origins
from mosaic_gateway.health.files import chmod
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.postgres_url import parse_postgres_url
from mosaic_hookspecs.types import Finding, Probe


def secret_file_probes(composition: Composition) -> list[Probe]:
    """One probe for all, so that a config without secrets has one line."""

    async def check() -> Finding:
        return await asyncio.to_thread(_look, composition)

    return [Probe("secret files", check, standalone=True)]


def _look(composition: Composition) -> Finding:
    files = [path for path in _secret_files(composition) if path.exists()]  # a missing one is told on opening
    loose = [path for path in files if _others_may_read(path)]
    if not loose:
        return Finding("green", f"{len(files)}, closed to others")
    names = " ".join(map(str, loose))

    async def fix() -> None:
        for path in loose:
            await asyncio.to_thread(chmod, path, 0o600)

    mine = all(path.stat().st_uid == os.geteuid() and not path.is_symlink() for path in loose)
    detail = f"open to other users of this machine: {', '.join(map(str, loose))}"
    return Finding("yellow", detail, f"chmod 600 {names}", fix if mine else None)


def _secret_files(composition: Composition) -> list[Path]:
    host = composition.host
    files = {host.storage_target.password_file, host.queue_target.password_file}
    if _password_in_config(composition):
        files.add(composition.source.path)
    with suppress(ConfigError):  # another finding
        key = parse_postgres_url(host.storage_target.url or "").sslkey
        files.add(Path(key) if key else None)
    return sorted(path for path in files if path)


def _password_in_config(composition: Composition) -> bool:
    """Whether a URL in the file itself, and not in the environment, has one."""
    host = composition.host
    urls = {("storage", "url"): host.storage_target.url, ("queue", "url"): host.queue_target.url}
    having = [path for path, url in urls.items() if ":" in (url or "").partition("://")[2].rpartition("@")[0]]
    if not having:  # reading the config anew takes longer than the probes beside this one
        return False
    origins = read_origins(composition.source)
    return any(origins.get(path) == str(composition.source.path) for path in having)


def _others_may_read(path: Path) -> bool:
    """A file of someone else's that is open to a group was opened for us, as libpq takes it."""
    state = path.stat()
    others = stat.S_IRWXO if state.st_uid != os.geteuid() else stat.S_IRWXO | stat.S_IRWXG
    return bool(state.st_mode & others)
