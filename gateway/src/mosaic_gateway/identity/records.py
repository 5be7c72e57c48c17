"""What the identity room hands out: frozen data, one field per column; times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

Role = Literal["admin", "member"]


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this gateway, as an administrator sees them."""

    id: UUID
    username: str
    display_name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class TeamRecord:
    """A team, as an administrator sees it."""

    id: UUID
    slug: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a team; ``role`` is the one inside the team."""

    team: str  # slug
    username: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret."""

    prefix: str
    name: str
    username: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """An API token at the only moment its secret is known."""

    secret: str = field(repr=False)  # the whole token, to be sent as ``Authorization: Bearer``
    prefix: str
    expires_at: datetime | None
