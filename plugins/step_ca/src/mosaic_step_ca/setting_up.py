"""What `mosaic federation ca init` does: an authority's directory, and the keys by which it will know this gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mosaic_hookspecs.certificates import UNREADABLE
from mosaic_hookspecs.errors import Conflict
from mosaic_hookspecs.protocols import Host
from mosaic_step_ca.directory import Plan, fingerprint_of, key_ids, new_authority
from mosaic_step_ca.store import (
    forget_provisioners,
    known_provisioners,
    load_root,
    lock_provisioners,
    store_authority,
)
from mosaic_step_ca.writing import written


@dataclass(frozen=True, slots=True)
class SetUp:
    """An authority that is ready to be started."""

    created: bool  # False: it was there, and is this gateway's
    fingerprint: str


async def set_up(host: Host, plan: Plan, directory: Path, root_directory: Path, *, replace: bool) -> SetUp:
    """Write the directories and keep the keys: both or none. Again for the same ones it changes nothing.

    ``replace`` forgets the keys of the authority before. Raises :class:`Conflict` for a directory that holds
    something else, and for keys that would have to be forgotten.
    """
    known = await known_provisioners(host.database)
    config = directory / "config" / "ca.json"
    if config.exists():
        fingerprint = _root_beside(config, set(known))
        # key ids alone prove nothing: the authority tells them to anyone
        if fingerprint is None or await load_root(host.database, fingerprint) is None:
            raise Conflict(
                f"{directory} holds an authority whose keys this gateway does not have",
                remedy="choose another directory; remove that one only if it was never used",
            )
        return SetUp(created=False, fingerprint=fingerprint)
    _may_have_new_keys(known, replace=replace)
    new = new_authority(plan)
    with written(new, directory, root_directory):
        async with host.database.transaction() as sql:
            await lock_provisioners(sql)  # another such command may be as far as this one
            _may_have_new_keys(await known_provisioners(sql), replace=replace)
            await forget_provisioners(sql)
            await store_authority(
                sql, host.sealer, root=new.root, fingerprint=new.fingerprint, provisioners=new.provisioners
            )
    return SetUp(created=True, fingerprint=new.fingerprint)


def _may_have_new_keys(known: Mapping[str, str], *, replace: bool) -> None:
    if known and not replace:
        raise Conflict(
            "this gateway has the keys of an authority already, and this is not its directory",
            remedy="name that one; or give --replace, and have every peer enroll anew",
        )


def _root_beside(config: Path, known: set[str]) -> str | None:
    """Fingerprint of the root beside a ``ca.json``; None where that does not name our keys, or is none."""
    try:
        named = key_ids(config.read_bytes())
        if not known or not known <= named:
            return None
        return fingerprint_of((config.parent.parent / "certs" / "root_ca.crt").read_bytes())
    except (OSError, *UNREADABLE):
        return None
