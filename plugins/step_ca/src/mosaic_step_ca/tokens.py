"""The tokens by which step-ca knows us: one for each attempt, bound to one request (RFC 7519, RFC 7800)."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

from joserfc import jwt
from joserfc.jwk import ECKey

Purpose = Literal["grants", "listeners"]
PURPOSES: tuple[Purpose, ...] = ("grants", "listeners")

_EARLIER = 30  # seconds that the authority's clock may be behind ours
_LIFE = 60  # seconds; without an end a token would be good for ever


@dataclass(frozen=True)
class Provisioner:
    """One of the authority's JWK provisioners: it signs what the bearer of this key's tokens asks for."""

    purpose: Purpose
    name: str
    key: ECKey = field(repr=False)

    @property
    def public(self) -> dict[str, Any]:
        """The key as the authority may have it."""
        return dict(self.key.as_dict(private=False))

    @cached_property
    def kid(self) -> str:
        """Thumbprint of the key."""
        return self.key.thumbprint()

    def token(self, audience: str, subject: str, claims: Mapping[str, Any]) -> str:
        """A token for one request, good from 30 s ago for a minute."""
        now = int(time.time())
        standard = {
            "iss": self.name,
            "aud": audience,
            "sub": subject,
            "jti": secrets.token_urlsafe(32),
            "iat": now,
            "nbf": now - _EARLIER,
            "exp": now + _LIFE,
        }
        return jwt.encode({"alg": "ES256", "kid": self.kid}, {**claims, **standard}, self.key)


def new_provisioner(purpose: Purpose, name: str) -> Provisioner:
    """One with a new P-256 key, whose id is its thumbprint (RFC 7638)."""
    return Provisioner(
        purpose, name, ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    )


def bound_to(csr_der: bytes) -> dict[str, Any]:
    """The claim that lets a token sign this request and no other."""
    return {"cnf": {"x5rt#S256": urlsafe_b64encode(sha256(csr_der).digest()).rstrip(b"=").decode("ascii")}}
