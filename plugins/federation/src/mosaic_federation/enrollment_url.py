"""Enrollment URLs: where to enroll, with which token, and which authority to trust there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address

from yarl import URL

from mosaic_hookspecs.errors import Forbidden, Malformed

_PATH = re.compile(r".*/federation/v1/enroll/[A-Za-z0-9_-]{43,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIN = re.compile(r"ca=([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class EnrollmentURL:
    """An enrollment URL, taken apart. Its token is as good as a password until it is used."""

    address: URL = field(repr=False)
    ca_sha256: str

    @property
    def place(self) -> str:
        """What may be shown of it."""
        return f"{self.address.scheme}://{self.address.raw_authority}"


def read_url(text: str) -> EnrollmentURL:
    """Take an enrollment URL apart.

    Raises :class:`Malformed` if it is none, names no authority, or would send the token unprotected.
    """
    try:
        url = URL(text.strip())
    except ValueError:
        raise _not_a_url("cannot be read") from None
    pin = _PIN.fullmatch(url.raw_fragment)
    # raw: in Unicode a host may look like another one, or be none at all
    host, place = url.raw_host, url.raw_authority
    if url.scheme not in {"http", "https"} or not host or "@" in place or not _PATH.fullmatch(url.raw_path):
        raise _not_a_url("is not one of /federation/v1/enroll/…")
    if pin is None:
        raise _not_a_url("has lost its end, #ca=…, which names the authority to trust")
    if url.scheme == "http" and not _is_loopback(host):
        raise Malformed(
            f"http://{place} would send the enrollment token over the network in clear",
            remedy="let that gateway's admin set public_url to https://…",
        )
    return EnrollmentURL(url.with_fragment(None), pin[1])


def check_fingerprint(url: EnrollmentURL, expected: str) -> None:
    """Raise :class:`Malformed` if ``expected`` is no SHA-256 in hex, :class:`Forbidden` if the URL names another."""
    wanted = expected.replace(":", "").strip().lower()
    if not _SHA256.fullmatch(wanted):
        raise Malformed(
            "the expected fingerprint is not a SHA-256 in hex", remedy="give 64 digits, colons or not"
        )
    if wanted != url.ca_sha256:
        raise Forbidden(
            f"the enrollment URL names the authority {url.ca_sha256}, and not the expected one",
            remedy="do not go on: the URL may have been changed on its way; compare with the gateway's admin",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _not_a_url(what: str) -> Malformed:
    return Malformed(
        f"the enrollment URL {what}",
        remedy="copy it whole, in quotes, as `federation grant create` printed it",
    )
