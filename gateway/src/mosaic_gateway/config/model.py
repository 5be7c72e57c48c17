"""The host's own part of the config. Each plugin brings the model of its own table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PublicListener(_Table):
    """The listener for users, scripts and enrolling peers. Put a TLS-terminating proxy before it."""

    host: str = "127.0.0.1"
    """Address to bind."""
    port: Port = 8080
    """TCP port to bind; 0 picks a free one."""


class Listen(_Table):
    """Sockets of the host itself; plugins bring their own."""

    public: PublicListener = PublicListener()


class Limits(_Table):
    """Bounds on what one client may ask for."""

    body_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    """Largest request body, bytes."""
    connections: Annotated[int, Field(ge=1)] = 1000
    """Most open connections per listener and worker."""
    drain_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long running requests may take after SIGTERM, seconds."""


class Config(_Table):
    """The whole configuration of a gateway."""

    tier: str
    """Which tier to run: `local`."""
    name: Name
    """What peers see this gateway called."""
    data_dir: Path
    """Where keys and the embedded database live; relative to the config file."""
    public_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#]+(/[^?#]*[^/?#])?$")] | None = None
    """How users and peers reach the public listener, without a trailing slash; default: its address."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Worker processes."""
    listen: Listen = Listen()
    limits: Limits = Limits()
    plugins: dict[str, dict[str, Any]] = {}
    """One table for each plugin to load, in this order; the tier's own plugin is loaded first."""
