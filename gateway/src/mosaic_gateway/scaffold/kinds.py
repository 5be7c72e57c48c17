"""What the kinds of project say differently; their files are in ``templates``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of plugin."""

    summary: str  # of the project
    about: str  # of it in the README
    settings: Mapping[str, Any] = field(default_factory=dict)  # shown as an example
    requires: Sequence[str] = ("pydantic>=2.11",)
    selected: bool = False  # by ``storage.type``


KINDS: Mapping[str, Kind] = {
    "probe": Kind(
        "A health probe for Mosaic Gateway.",
        "`mosaic gateway doctor` warns when the disk of the gateway's data has less than `least_free` bytes left.",
        {"least_free": 5_000_000_000},
    ),
    "resource": Kind(
        "A resource for Mosaic Gateway.",
        "Rows of `@@name` have a title, a body, a rating and a time. The gateway makes of them `/v1/@@name`, "
        "its OpenAPI, search, import and export, and shares them with peers that are granted them.",
    ),
    "policy": Kind(
        "A policy for the peers of a Mosaic Gateway.",
        "Peers are answered if they ask from one of `networks`, and from nowhere else.",
        {"networks": ["192.0.2.0/24", "2001:db8::/32"]},
    ),
    "authority": Kind(
        "A certificate authority for Mosaic Gateway.",
        "It signs the certificates of the gateway's listener and of its peers with a root from two files, and keeps a "
        "revocation list. A gateway has one authority: take another one, such as `embedded_ca`, out of its config.",
        {"certificate": "/etc/mosaic/root.pem", "key": "/etc/mosaic/root.key"},
        ("cryptography>=44", "pydantic>=2.11"),
    ),
    "storage": Kind(
        "A storage for Mosaic Gateway.",
        "The gateway keeps its rows in a Postgres that runs already, found by the settings below.",
        {"host": "db.example.org", "password_file": "/run/secrets/db"},
        selected=True,
    ),
}
