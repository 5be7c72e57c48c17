"""The table ``plugins.federation`` of the config."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from yarl import URL

DEFAULT_ARC = "1.3.6.1.4.1.99999"
ARC = r"^[12](\.(0|[1-9]\d{0,9})){3,20}$"  # a dotted OID

_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - recognised, not bound


class Listen(BaseModel):
    """The socket for peers; it speaks TLS 1.3 and asks for their certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to bind."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8443
    """TCP port to bind."""


class Settings(BaseModel):
    """How peers reach this gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    listen: Listen = Listen()
    """The listener for peers, apart from the public one."""
    advertise: (
        Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$")] | None
    ) = None
    """What peers dial, as `host:port`; default: the listener's own address."""
    enrollment_ttl: Annotated[int, Field(ge=60, le=86_400)] = 900
    """How long an enrollment URL can be used, seconds."""
    oid_arc: Annotated[str, StringConstraints(pattern=ARC)] = DEFAULT_ARC
    """The OIDs of the certificates issued here: `.1` of this arc is the grant, `.2` its subject."""

    @model_validator(mode="after")
    def _can_be_dialled(self) -> Settings:
        if self.advertise is None and self.listen.host in _EVERYWHERE:
            raise ValueError(
                "advertise: needed because listen.host is every address: say which one peers dial"
            )
        if not self.url.port:
            raise ValueError("advertise: expected a port from 1 to 65535")
        return self

    @property
    def url(self) -> URL:
        """Where peers reach the listener."""
        if self.advertise is not None:
            return URL(f"https://{self.advertise}")
        return URL.build(scheme="https", host=self.listen.host, port=self.listen.port)
