"""Who Postgres runs as. It refuses to run as root, so root hands it to an ordinary user."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mosaic_hookspecs.errors import ConfigError

#: Tried in this order when the gateway is root and ``run_as`` is not set.
USUAL_ACCOUNTS = ("mosaic", "postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An OS user."""

    name: str
    uid: int
    gid: int

    def command(self, *argv: str | Path) -> list[str]:
        """``argv`` run as this user, and interrupted (fast shutdown) if the thread that spawned it dies."""
        prefix = ["setpriv", "--pdeathsig", "INT"]
        if self.uid != os.geteuid():
            prefix += ["--reuid", str(self.uid), "--regid", str(self.gid), "--init-groups"]
        return [*prefix, "--", *map(str, argv)]


def own_account() -> Account:
    """The user this process runs as. Raises :class:`ConfigError` if it has no name."""
    try:
        return _account(pwd.getpwuid(os.geteuid()))
    except KeyError:
        raise ConfigError(
            f"user id {os.geteuid()} has no name on this system, and Postgres asks for one",
            remedy="run the gateway as a user that is in /etc/passwd",
        ) from None


def postgres_account(run_as: str | None, cluster: Path) -> Account:
    """The user Postgres runs as: this one, or for root an ordinary one. Raises :class:`ConfigError`."""
    own = own_account()
    if own.uid != 0:
        if run_as not in (None, own.name):
            raise ConfigError(
                f"plugins.tier_local.run_as: {own.name} cannot start Postgres as {run_as!r}",
                remedy=f"remove run_as, or run the gateway as root or as {run_as!r}",
            )
        return own
    found = list(_existing([run_as] if run_as else USUAL_ACCOUNTS))
    if not found:
        raise ConfigError(
            f"plugins.tier_local.run_as: no OS user named {run_as or ', '.join(USUAL_ACCOUNTS)}",
            remedy="Postgres refuses to run as root: useradd --system mosaic, or run the gateway as a user",
        )
    owner = cluster.stat().st_uid if cluster.exists() else None
    return next((each for each in found if each.uid == owner), found[0])


def _existing(names: Iterable[str]) -> Iterable[Account]:
    for name in names:
        try:
            account = _account(pwd.getpwnam(name))
        except KeyError:
            continue
        if account.uid == 0:
            raise ConfigError(
                f"plugins.tier_local.run_as: {name!r} is root, and Postgres refuses to run as root",
                remedy="name an ordinary user",
            )
        yield account


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
