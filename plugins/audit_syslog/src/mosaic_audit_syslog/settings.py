"""The table ``plugins.audit_syslog`` of the config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from mosaic_hookspecs.models import Model

Kind = Literal["unix", "tcp", "tls", "udp"]
_FORMS = "expected unix:///PATH, tcp://HOST:PORT, tls://HOST:PORT or udp://HOST:PORT"


@dataclass(frozen=True, slots=True)
class Place:
    """Where syslog is."""

    kind: Kind
    host: str = ""
    port: int = 0
    path: str = ""  # of a Unix socket


def place_of(address: str) -> Place:
    """Read an address. Raises ValueError."""
    url = urlsplit(address)
    if url.query or url.fragment or url.username is not None:
        raise ValueError(_FORMS)
    if url.scheme == "unix" and url.path.startswith("/") and not url.netloc:
        return Place("unix", path=url.path)
    if url.scheme in {"tcp", "tls", "udp"} and url.hostname and url.port and url.path in {"", "/"}:
        url.hostname.encode("idna")  # as who looks the name up does: a label has at most 63 bytes
        return Place(cast(Kind, url.scheme), url.hostname, url.port)
    raise ValueError(_FORMS)


def _checked(address: str) -> str:
    place_of(address)
    return address


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("expected an absolute path")
    return path


File = Annotated[Path, AfterValidator(_absolute)]


class Settings(Model):
    """Where audit events are sent, and what if they cannot be."""

    address: Annotated[str, AfterValidator(_checked)] = "unix:///dev/log"
    """`unix:///PATH`, `tcp://HOST:PORT`, `tls://HOST:PORT` or `udp://HOST:PORT`."""
    required: bool = True
    """No audit, no answer: what syslog does not take is answered 503. Off: a warning in the gateway's log, once."""
    seconds: Annotated[float, Field(ge=0.1, le=9)] = 4.0
    """How long syslog may take for one event, a new connection included."""
    ca_file: File | None = None
    """PEM of the authorities that may have signed the certificate of `tls://`; default: the system's."""
    client_file: File | None = None
    """PEM of this gateway's own certificate and key, where `tls://` asks for one."""

    @model_validator(mode="after")
    def _known(self) -> Settings:
        kind = place_of(self.address).kind
        if self.required and kind == "udp":
            raise ValueError("address: udp:// cannot tell whether anything arrives; set required to false")
        if kind != "tls" and (self.ca_file or self.client_file):
            raise ValueError("ca_file and client_file are for tls:// only")
        return self
