"""The table ``plugins.tier_local`` of the config."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of the local tier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_as: str | None = None
    """OS user that Postgres runs as when the gateway is root; else ``mosaic``, ``postgres`` or ``nobody``."""
