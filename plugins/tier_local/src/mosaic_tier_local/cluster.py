"""The data directory of Postgres: made whole or not at all, recognised as ours or left alone.

Postgres sees it as its working directory only (``/proc/self/cwd``), so that neither a long path nor an
ancestor that the user Postgres runs as may not enter is in the way.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
from pathlib import Path

from mosaic_hookspecs.errors import ConfigError
from mosaic_tier_local.account import Account, own_account
from mosaic_tier_local.binaries import MAJOR, run

ROLE = "gateway"
PEER_ROLE = "gateway_peer"  # what peers are answered as: the core's migration 0004_peers says why
DATABASE = "mosaic"
HERE = "/proc/self/cwd"
_TRIES = 100  # in five seconds; what is left then goes at the next start
MARKER = "mosaic-cluster"
PEERS_MARKER = "mosaic-cluster-peers"  # there once the cluster has what PEERS makes

VECTOR_MARKER = "mosaic-cluster-vector"  # there once its database has pgvector

INITDB = (
    *("-D", HERE, "--username=postgres", "--encoding=UTF8", "--auth=reject", "--text-search-config=english"),
    *("--lc-collate=C", "--lc-ctype=C.UTF-8", "--lc-messages=C", "--lc-monetary=C", "--lc-numeric=C"),
    *("--lc-time=C", "--no-sync", "--no-instructions"),
)

#: The role that rows are shown to peers as, and the permission to search an index before row-level security is
#: asked: it is for superusers to say that ``@@`` and ``&&`` give nothing away.
PEERS = f"""\
CREATE ROLE {PEER_ROLE} NOLOGIN
GRANT {PEER_ROLE} TO {ROLE}
ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF
ALTER FUNCTION pg_catalog.arrayoverlap(anyarray, anyarray) LEAKPROOF
"""

#: Run in single-user mode, one statement a line: the superuser can never connect, not even for this.
#: The schema comes into the new database by its template, so that one run is enough.
BOOTSTRAP = f"""\
CREATE ROLE {ROLE} LOGIN
ALTER ROLE {ROLE} SET search_path = mosaic, public
CREATE SCHEMA mosaic AUTHORIZATION {ROLE}
{PEERS}\
CREATE DATABASE {DATABASE} OWNER {ROLE}
DROP SCHEMA mosaic
"""


async def prepare(cluster: Path, account: Account, binaries: Path) -> None:
    """Make the cluster unless it is there, and let only this OS user in, as the role ``gateway``.

    The caller holds the owner's lock. Raises :class:`ConfigError` and touches nothing if the directory is
    not a cluster of ours; leaves nothing behind if making one fails.
    """
    try:
        for leftover in cluster.parent.glob(f"{cluster.name}.init-[0-9]*"):
            await _remove(leftover)
        if not _is_ours(cluster, account):
            await _create(cluster, account, binaries)
        _replace(cluster / "pg_hba.conf", "local all all peer map=gw\n", account)
        _replace(cluster / "pg_ident.conf", f'gw "{own_account().name}" {ROLE}\n', account)
    except OSError as error:
        raise ConfigError(
            f"cannot use {cluster} for the database: {error.strerror}",
            remedy="check the rights of the directory and the free space of its disk",
        ) from error


async def _remove(leftover: Path) -> None:
    """Take away what a killed start left; for a moment its initdb may still write there, or remove it, too."""
    for _ in range(_TRIES):
        if _removed(leftover):
            return
        await asyncio.sleep(0.05)


def _removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _is_ours(cluster: Path, account: Account) -> bool:
    """False if there is nothing yet. Raises :class:`ConfigError` for something that is not ours."""
    if not cluster.exists():
        return False
    if not cluster.is_dir():
        raise _refusal(cluster, "it is not a directory")
    if cluster.stat().st_uid not in (account.uid, os.geteuid()):
        raise _refusal(cluster, f"it belongs to user id {cluster.stat().st_uid}, not to {account.name}")
    if not any(cluster.iterdir()):
        return False
    if not (cluster / MARKER).is_file():
        raise _refusal(cluster, "it holds files that this gateway did not make")
    if cluster.stat().st_uid != account.uid:
        raise _refusal(cluster, f"it does not belong to {account.name}")
    major = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    if major != str(MAJOR):
        raise _refusal(cluster, f"it is of Postgres {major[:8]!r}, and this gateway brings Postgres {MAJOR}")
    return True


def _refusal(cluster: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{cluster} cannot be the database directory: {why}; it was left untouched",
        remedy="set data_dir to another directory, or give this one back to the gateway that made it",
    )


async def _create(cluster: Path, account: Account, binaries: Path) -> None:
    staging = cluster.with_name(f"{cluster.name}.init-{os.getpid()}")
    try:
        staging.mkdir(mode=0o700)
        os.chown(staging, account.uid, account.gid)
        await _step(account.command(binaries / "initdb", *INITDB), staging)
        await _step(_single(account, binaries, "template1", "-F"), staging, stdin=BOOTSTRAP)
        for marker in (MARKER, PEERS_MARKER):
            _replace(staging / marker, "made by mosaic-tier-local\n", account)
        await _step(account.command("sync", "--file-system", "."), staging)
        staging.rename(cluster)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def lacks_peers(cluster: Path) -> bool:
    """Whether it was made by release 0.1, and not mended since."""
    return not (cluster / PEERS_MARKER).is_file()


async def add_peers(cluster: Path, account: Account, binaries: Path) -> None:
    """Give a cluster of release 0.1 what :data:`PEERS` makes. No Postgres may run on it."""
    await _step(_single(account, binaries, DATABASE), cluster, stdin=PEERS, again=True)
    _replace(cluster / PEERS_MARKER, "made by mosaic-tier-local\n", account)


def lacks_vector(cluster: Path) -> bool:
    """Whether pgvector was never wanted here."""
    return not (cluster / VECTOR_MARKER).is_file()


async def add_vector(cluster: Path, account: Account, binaries: Path) -> None:
    """Create pgvector, which only a superuser may. No Postgres may run on the cluster."""
    await _step(_single(account, binaries, DATABASE), cluster, stdin="CREATE EXTENSION vector\n", again=True)
    _replace(cluster / VECTOR_MARKER, "made by mosaic-tier-local\n", account)


def _single(account: Account, binaries: Path, database: str, *options: str) -> list[str]:
    return account.command(binaries / "postgres", "--single", *options, "-D", HERE, database)


async def _step(argv: list[str], staging: Path, *, stdin: str = "", again: bool = False) -> None:
    outcome = await run(argv, cwd=staging, stdin=stdin)
    lines = outcome.output.strip().splitlines() or [f"exit status {outcome.status}"]
    wrong = [line for line in lines if re.search(r"error:|ERROR:|FATAL:|PANIC:", line)]
    if again:  # a run that was cut short may have done a part
        wrong = [line for line in wrong if not line.endswith("already exists")]
    if outcome.status == 0 and not wrong:  # single-user mode goes on after an error and exits with 0
        return
    full = [line for line in lines if os.strerror(errno.ENOSPC) in line]
    raise ConfigError(
        f"the database could not be made in {staging.parent}: {(full or wrong or lines)[0]}",
        remedy="free 100 MB on that disk and start again" if full else "mend this and start again",
    )


def _replace(path: Path, text: str, account: Account) -> None:
    """Write a file of Postgres'. As root in another user's directory: never through a link of theirs."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchown(descriptor, account.uid, account.gid)
        file.write(text)
    fresh.replace(path)
