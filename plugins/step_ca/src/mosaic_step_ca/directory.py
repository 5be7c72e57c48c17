"""A complete directory for step-ca, made without its own tools.

Laid out as its container expects ``/home/step``; paths inside are relative, so the same directory serves a native
step-ca that is started in it. The root's key is not in it: step-ca never needs that one.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_step_ca.certificates import encrypted, make_intermediate, make_root, new_key
from mosaic_step_ca.tokens import PURPOSES, Provisioner, Purpose, new_provisioner

_LISTENER_HOURS = 24 * 90
_SLACK_HOURS = (
    1  # on top of what a gateway asks for: for the minute of backdating, and for clocks that differ
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operator decides about an authority."""

    gateway: str  # names the organisation, and our provisioners
    url: str  # where gateways reach it
    dns: Sequence[str]  # DNS names and IP addresses it answers to
    address: str  # what it listens on, ``HOST:PORT`` or ``:PORT``
    client_hours: int  # longest life of a peer's certificate


@dataclass(frozen=True, slots=True)
class NewAuthority:
    """Everything there is of it. ``files`` and ``root_files`` are contents by relative path."""

    root: bytes  # PEM
    fingerprint: str  # of the root: SHA-256, hex
    provisioners: Sequence[Provisioner]
    files: Mapping[str, bytes] = field(repr=False)
    root_files: Mapping[str, bytes] = field(repr=False)


def new_authority(plan: Plan) -> NewAuthority:
    """Make the keys, the certificates and the configuration. Nothing is written."""
    root_key, key = new_key(), new_key()
    root = make_root(plan.gateway, root_key)
    intermediate = make_intermediate(plan.gateway, key, root, root_key)
    provisioners = [new_provisioner(purpose, f"{plan.gateway}-{purpose}") for purpose in PURPOSES]
    password, root_password = (secrets.token_urlsafe(32).encode("ascii") for _ in range(2))
    pem = root.public_bytes(Encoding.PEM)
    config = json.dumps(_config(plan, provisioners), indent=2) + "\n"
    return NewAuthority(
        root=pem,
        fingerprint=sha256(root.public_bytes(Encoding.DER)).hexdigest(),
        provisioners=provisioners,
        files={
            "config/ca.json": config.encode(),
            "certs/root_ca.crt": pem,
            "certs/intermediate_ca.crt": intermediate.public_bytes(Encoding.PEM),
            "secrets/intermediate_ca_key": encrypted(key, password),
            "secrets/password": password,
        },
        root_files={"root_ca_key": encrypted(root_key, root_password), "password": root_password},
    )


def _config(plan: Plan, provisioners: Sequence[Provisioner]) -> dict[str, Any]:
    crl_url = f"{plan.url}/1.0/crl"
    return {
        "root": "certs/root_ca.crt",
        "crt": "certs/intermediate_ca.crt",
        "key": "secrets/intermediate_ca_key",
        "address": plan.address,
        "dnsNames": list(plan.dns),
        # No "logger": its log of requests holds their tokens.
        "db": {"type": "bbolt", "dataSource": "db/step-ca.db"},
        "tls": {"minVersion": 1.3, "maxVersion": 1.3, "renegotiation": False},
        "crl": {
            "enabled": True,
            "generateOnRevoke": True,
            "cacheDuration": "24h",  # how long gateways go on without the authority: as long as a certificate lasts
            "renewPeriod": "5m",
            "idpURL": crl_url,
        },
        "authority": {
            "backdate": "1m0s",
            "claims": {"disableRenewal": True, "enableSSHCA": False},
            "provisioners": [_provisioner(plan, each, crl_url) for each in provisioners],
        },
    }


def _provisioner(plan: Plan, provisioner: Provisioner, crl_url: str) -> dict[str, Any]:
    """Without ``encryptedKey``: the authority never needs our private key, and would hand it to anyone."""
    hours = {"grants": plan.client_hours, "listeners": _LISTENER_HOURS}[provisioner.purpose]
    return {
        "type": "JWK",
        "name": provisioner.name,
        "key": provisioner.public,
        "claims": {
            "minTLSCertDuration": "5s",
            "defaultTLSCertDuration": f"{hours}h",
            "maxTLSCertDuration": f"{hours + _SLACK_HOURS}h",
            # A renewal would copy every extension, and ask no grant; a revoked certificate's heir would live on.
            "disableRenewal": True,
            "allowRenewalAfterExpiry": False,
            "enableSSHCA": False,
        },
        "options": {"x509": {"template": template(provisioner.purpose, crl_url)}},
    }


def template(purpose: Purpose, crl_url: str) -> str:
    """The template of a provisioner, in the language of step-ca. ``crl_url`` is what the list itself names."""
    text = files("mosaic_step_ca").joinpath("templates", f"{purpose}.tpl").read_text(encoding="utf-8")
    return text.replace("$CRL_URL", json.dumps(crl_url))


def key_ids(config: bytes) -> set[str]:
    """Key ids of the provisioners of a ``ca.json``. Raises ValueError for what is none."""
    try:
        return {each["key"]["kid"] for each in json.loads(config)["authority"]["provisioners"]}
    except (KeyError, TypeError):
        raise ValueError from None


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 of a PEM certificate's DER, hex."""
    return sha256(x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)).hexdigest()
