"""The table ``plugins.step_ca`` of the config."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    model_validator,
)

from mosaic_hookspecs.models import Model


def plain_https(value: str) -> str:
    """The address without a slash behind it. Raises ValueError for what is more, or less."""
    from yarl import URL  # noqa: PLC0415  # most commands need none, and it takes as long as asyncio

    url = URL(value)
    if url.scheme != "https" or not url.host or url.user or url.path not in ("", "/") or url.query_string:
        raise ValueError("expected https://HOST:PORT and nothing behind it")
    return str(url.origin())


Address = Annotated[str, AfterValidator(plain_https)]
Fingerprint = Annotated[
    str,
    BeforeValidator(lambda value: value.replace(":", "").lower() if isinstance(value, str) else value),
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
]


class Settings(Model):
    """Where the step-ca is and whom it must be; `mosaic federation ca init` prints both."""

    url: Address | None = None
    """Where it answers, `https://HOST:PORT`; the host is one of its DNS names."""
    fingerprint: Fingerprint | None = None
    """SHA-256 of its root certificate, hex. Nothing else is trusted, the system's store included."""
    client_hours: Annotated[int, Field(ge=1, le=24 * 90)] = 24
    """Longest life of a peer's certificate, hours. Read by `ca init` too: the authority keeps to it by itself."""
    timeout: Annotated[float, Field(ge=0.5, le=10)] = 4
    """How long one attempt may take, seconds. There are three, within 12 seconds in all."""

    @model_validator(mode="after")
    def _both(self) -> Settings:
        if (self.url is None) != (self.fingerprint is None):
            raise ValueError("url and fingerprint: set both, or none before `mosaic federation ca init`")
        return self
