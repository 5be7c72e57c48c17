"""Errors of a dial, as cause and remedy. OpenSSL's own words help nobody."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp

_NEW_GRANT = "ask its admin for a new grant, and enroll again"

#: OpenSSL's reason (the alert that the peer sent, RFC 8446 section 6) → cause, remedy
_ALERTS = {
    "CERTIFICATE_EXPIRED": ("it says that our certificate has expired", _NEW_GRANT),
    "CERTIFICATE_REVOKED": ("it says that our certificate is revoked", _NEW_GRANT),
    "UNKNOWN_CA": ("it does not know the authority that signed our certificate", _NEW_GRANT),
    "BAD_CERTIFICATE": ("it does not accept our certificate", _NEW_GRANT),
    "CERTIFICATE_REQUIRED": ("it was shown no certificate", _NEW_GRANT),
    "CERTIFICATE_UNKNOWN": ("it does not accept our certificate", _NEW_GRANT),
    "PROTOCOL_VERSION": ("it does not speak TLS 1.3", "let its admin upgrade it"),
    "HANDSHAKE_FAILURE": ("no common way to speak TLS was found", "compare the releases of both gateways"),
    "WRONG_VERSION_NUMBER": (
        "what listens there does not speak TLS",
        "check that the address is the one of its federation listener",
    ),
}


def explain(error: BaseException) -> tuple[str, str]:
    """Cause and remedy of a failed dial."""
    for each in _chain(error):
        # by attribute: aiohttp's errors are subclasses of ssl's without their attributes
        if message := getattr(each, "verify_message", None):
            return (
                f"its certificate does not verify: {message}",
                "if it was set up anew, enroll again; if not, someone else may be answering in its place",
            )
        for reason, cause_and_remedy in _ALERTS.items():
            if reason in (getattr(each, "reason", None) or ""):
                return cause_and_remedy
    for each in _chain(error):
        if isinstance(each, TimeoutError):
            return "no answer in time", "check that it is up, and that no firewall is in between"
        if isinstance(each, ConnectionRefusedError):
            return "nothing listens there", "check that it is up, and its address"
        if isinstance(each, ConnectionResetError | aiohttp.ServerDisconnectedError):
            return (
                "it closed the connection",
                "if this stays so, it may not accept our certificate any more: ask its admin",
            )
    return f"it cannot be reached ({type(error).__name__})", "check its address, and the network in between"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
