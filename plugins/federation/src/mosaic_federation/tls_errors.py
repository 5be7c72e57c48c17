"""Errors of a dial, as cause and remedy. OpenSSL's own words help nobody."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import aiohttp

_NEW_URL = "ask its admin for a new URL (`mosaic federation grant reissue`), and add it"
_LOOK_AT_RELEASES = "compare the releases of both gateways"
_SOMEONE_ELSE = "if it was set up anew, enroll again; if not, someone else may be answering in its place"
_CLOCKS = "compare the clocks of both gateways; if they agree, its admin starts it anew"
_THEIR_CLOCK = "compare the clocks of both gateways; if they agree, "

#: OpenSSL's reason (the alert that the peer sent, RFC 8446 section 6) → cause, remedy
_ALERTS = {
    "CERTIFICATE_EXPIRED": (  # not by our clock: then nobody is dialled. OpenSSL says it of a list, too.
        "it says that our certificate, or its authority's revocation list, has expired",
        _THEIR_CLOCK + "ask its admin whether its authority is up",
    ),
    "CERTIFICATE_REVOKED": ("it says that our certificate is revoked", _NEW_URL),
    "UNSUPPORTED_CERTIFICATE": ("it says that our certificate is not for this purpose", _NEW_URL),
    "UNKNOWN_CA": ("it does not know the authority that signed our certificate", _NEW_URL),
    # also of one that is not valid yet
    "BAD_CERTIFICATE": ("it does not accept our certificate", _THEIR_CLOCK + _NEW_URL),
    "CERTIFICATE_REQUIRED": ("it was shown no certificate", _NEW_URL),
    "CERTIFICATE_UNKNOWN": ("it does not accept our certificate", _NEW_URL),
    "ACCESS_DENIED": ("it accepts our certificate, but not us", _NEW_URL),
    "DECRYPT_ERROR": ("our signature does not fit our certificate", _NEW_URL),
    "UNRECOGNIZED_NAME": ("it does not go by this name", "compare its address with its admin"),
    "PROTOCOL_VERSION": ("it does not speak TLS 1.3", "let its admin upgrade it"),
    "UNSUPPORTED_PROTOCOL": ("it does not speak TLS 1.3", "let its admin upgrade it"),
    "HANDSHAKE_FAILURE": ("no common way to speak TLS was found", _LOOK_AT_RELEASES),
    "INSUFFICIENT_SECURITY": ("no common way to speak TLS was found", _LOOK_AT_RELEASES),
    "NO_APPLICATION_PROTOCOL": ("no common way to speak TLS was found", _LOOK_AT_RELEASES),
    "ILLEGAL_PARAMETER": ("it does not understand our TLS", _LOOK_AT_RELEASES),
    "INTERNAL_ERROR": ("it failed inside", "ask its admin what its log says"),
    "WRONG_VERSION_NUMBER": (
        "what listens there does not speak TLS",
        "check that the address is the one of its federation listener",
    ),
}

#: Our own verdict on the peer's certificate (OpenSSL's X509_V_ERR_…) → cause, remedy
_VERDICTS = {
    "certificate has expired": ("its certificate has expired, by our clock", _CLOCKS),
    "certificate is not yet valid": ("its certificate is not valid yet, by our clock", _CLOCKS),
    "mismatch": ("its certificate is for another address", "compare its address with its admin: `advertise`"),
    "unable to get local issuer": ("its certificate does not come from the pinned authority", _SOMEONE_ELSE),
    "self-signed": ("its certificate does not come from the pinned authority", _SOMEONE_ELSE),
    "signature failure": ("its certificate does not come from the pinned authority", _SOMEONE_ELSE),
}

# Many a server closes without a word: asyncio sends no alert when a handshake fails (cpython #98078). Ours does since
# 0.2; and what comes back may still be lost on the way.
_CLOSED = (
    "it closed the connection",
    "if this stays so, it may not accept our certificate any more: ask its admin, or for a new URL",
)
_IN_PART = (
    "it closed the connection before its answer was whole",
    "ask again; if this stays so, ask its admin what its log says",
)
_KINDS = (
    (aiohttp.ClientPayloadError, _IN_PART),
    (TimeoutError, ("no answer in time", "check that it is up, and that no firewall is in between")),
    (socket.gaierror, ("its name does not resolve", "check the name in its address, and this machine's DNS")),
    (ConnectionRefusedError, ("nothing listens there", "check that it is up, and its address")),
    (ConnectionResetError | aiohttp.ServerDisconnectedError, _CLOSED),
)
_NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)
_CUT_SHORT = ("UNEXPECTED_EOF", "EOF occurred", "CLOSE_NOTIFY")


def explain(error: BaseException) -> tuple[str, str]:
    """Cause and remedy of a failed dial."""
    for each in _chain(error):
        # by attribute: aiohttp's errors are subclasses of ssl's without their attributes
        if message := getattr(each, "verify_message", None):
            return _verdict(message)
        for reason, cause_and_remedy in _ALERTS.items():
            if reason in (getattr(each, "reason", None) or ""):
                return cause_and_remedy
    for each in _chain(error):
        if _is_cut_short(each):
            return _CLOSED
        if isinstance(each, OSError) and each.errno in _NO_WAY:
            return "its host cannot be reached", "check its address, and the network in between"
        for kind, cause_and_remedy in _KINDS:
            if isinstance(each, kind):
                return cause_and_remedy
    return f"it cannot be reached ({type(error).__name__})", "check its address, and the network in between"


def nobody_answers(error: BaseException) -> bool:
    """Whether a dial has met nobody. Who takes our certificate and then closes may be refusing it."""
    told = any(alert in (getattr(each, "reason", None) or "") for each in _chain(error) for alert in _ALERTS)
    return isinstance(error, aiohttp.ClientConnectorError | TimeoutError) and not told


def _verdict(message: str) -> tuple[str, str]:
    for part, (cause, remedy) in _VERDICTS.items():
        if part in message:
            return f"{cause} ({message})", remedy
    return f"its certificate does not verify: {message}", _SOMEONE_ELSE


def _is_cut_short(error: BaseException) -> bool:
    return any(part in str(getattr(error, "reason", None) or error) for part in _CUT_SHORT)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
