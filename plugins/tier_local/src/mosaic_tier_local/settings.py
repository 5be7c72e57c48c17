"""The table ``plugins.tier_local`` of the config."""

from __future__ import annotations

from mosaic_hookspecs.models import Model


class Settings(Model):
    """Settings of the local tier."""

    run_as: str | None = None
    """OS user that Postgres runs as when the gateway is root; else `mosaic`, `postgres` or `nobody`."""
