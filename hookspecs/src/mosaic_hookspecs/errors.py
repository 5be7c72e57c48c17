"""One error root. Each class carries its problem code, HTTP status (RFC 9110) and CLI exit code.

A message says what was wrong and where; ``remedy`` says what to do. Neither may ever hold a secret
or another user's row: both are shown to whoever asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from mosaic_hookspecs.types import Rate


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong place in an input: ``where`` is a dotted path, a JSON pointer or ``line 7``."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class MosaicError(Exception):
    """Root of every error this project raises on purpose.

    To do: look for the request id in the gateway's log, and report what stands there.
    """

    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong in the gateway"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, *, remedy: str = "", faults: Iterable[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy
        self.faults = tuple(faults)
        self.headers: Mapping[str, str] = {}  # of the HTTP answer, beside those that each error has

    def __str__(self) -> str:
        """Detail, each fault on its own line, then the remedy."""
        lines = [self.detail, *(f"  {fault}" for fault in self.faults)]
        return "\n".join([*lines, f"  → {self.remedy}"] if self.remedy else lines)


class ConfigError(MosaicError):
    """The configuration, or an installed plugin it names, cannot be used.

    To do: mend the keys that are named; `mosaic gateway config check` tells every fault at once.
    """

    code, title, status, exit_code = "config-invalid", "The configuration is not valid", 500, 3


class Malformed(MosaicError):
    """A request that cannot be parsed: broken JSON, a tampered cursor, an unknown query parameter.

    To do: compare the request with the OpenAPI document, and take a cursor only from the answer before.
    """

    code, title, status, exit_code = "malformed-request", "The request cannot be understood", 400, 2


class Unauthenticated(MosaicError):
    """No credential, or one that is unknown, expired or revoked.

    To do: send a token that is good; `mosaic token create` makes one.
    """

    code, title, status, exit_code = "unauthenticated", "A valid credential is required", 401, 4


class Forbidden(MosaicError):
    """The credential is good, and does not allow this.

    To do: ask an admin, or, as a peer, the admin of the gateway you read from.
    """

    code, title, status, exit_code = "forbidden", "This is not allowed", 403, 4


class Denied(Forbidden):
    """A policy of this gateway does not allow a peer's request, now or from there.

    To do: do as the remedy says, or ask the admin of the gateway you read from about its policies.
    """

    code, title, status, exit_code = "policy", "A policy of this gateway does not allow this", 403, 4


class OutOfTime(Forbidden):
    """A peer's certificate has expired, or is not valid yet, by this gateway's clock.

    To do: compare the clocks of both gateways; a peer whose clock is right renews its certificate by itself.
    """

    code, title, status, exit_code = "certificate-time", "The certificate is not valid at this time", 403, 4


class ReadOnly(MosaicError):
    """The rows of this resource are kept elsewhere, and only read here.

    To do: change them where they are kept; `mosaic_discoveries` and `plugins.tables` say where that is.
    """

    code, title, status, exit_code = "read-only", "These rows are only read here", 405, 4

    def __init__(self, detail: str, *, remedy: str = "", faults: Iterable[Fault] = ()) -> None:
        super().__init__(detail, remedy=remedy, faults=faults)
        self.headers = {"Allow": "GET, HEAD, OPTIONS"}  # RFC 9110, 15.5.6


class NotFound(MosaicError):
    """Absent, or hidden from this viewer: the two look the same on purpose.

    To do: check the path and the id, and whether the row is in your scope (`mosaic federation scope explain`).
    """

    code, title, status, exit_code = "not-found", "There is nothing here for you", 404, 4


class Conflict(MosaicError):
    """The change collides with what is stored.

    To do: read what is there, then decide again.
    """

    code, title, status, exit_code = "conflict", "The change collides with what is stored", 409, 4


class Gone(MosaicError):
    """It was here once and will not come back: a spent or expired enrollment token.

    To do: ask whoever gave it for a new one (`mosaic federation grant reissue`).
    """

    code, title, status, exit_code = "gone", "This can no longer be used", 410, 4


class PreconditionFailed(MosaicError):
    """``If-Match`` names another version than the stored one.

    To do: read the row again, and send the ETag it has now.
    """

    code, title, status, exit_code = "precondition-failed", "The row has changed since you read it", 412, 4


class TooLarge(MosaicError):
    """The request body is over the limit.

    To do: send less at once; the limit is the config's `limits.body_bytes`.
    """

    code, title, status, exit_code = "too-large", "The request is too large", 413, 2


class Invalid(MosaicError):
    """Well-formed input with wrong values; ``faults`` lists every one of them.

    To do: mend each value that is listed.
    """

    code, title, status, exit_code = "invalid", "Some values are not valid", 422, 2


class TooMany(MosaicError):
    """More than a limiter allows; the answer's Retry-After and RateLimit headers say when there is room.

    To do: wait as long as Retry-After says.
    """

    code, title, status, exit_code = "too-many", "Too many requests", 429, 5

    def __init__(
        self,
        detail: str,
        *,
        remedy: str = "",
        faults: Iterable[Fault] = (),
        retry_after: float = 1,
        rate: Rate | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.retry_after = max(1, ceil(retry_after))  # seconds
        self.rate = rate  # what was exceeded
        super().__init__(detail, remedy=remedy or f"try again in {self.retry_after} s", faults=faults)
        self.headers = headers or {}


class Unavailable(MosaicError):
    """A part the answer needs does not answer; trying again later may help.

    To do: wait as long as Retry-After says; if it lasts, `mosaic gateway doctor` names the part.
    """

    code, title, status, exit_code = "unavailable", "A part the gateway needs is not available", 503, 5

    def __init__(
        self, detail: str, *, remedy: str = "", faults: Iterable[Fault] = (), retry_after: int = 5
    ) -> None:
        super().__init__(detail, remedy=remedy, faults=faults)
        self.retry_after = retry_after  # seconds, for the Retry-After header
