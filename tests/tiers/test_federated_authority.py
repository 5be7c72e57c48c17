"""The federated tier and its certificate authority: set up, looked at, lost, found again, replaced."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from conftest import Authority, Home

Start = Callable[..., "subprocess.Popen[str]"]
SetUp = Callable[["Home"], "Authority"]


def test_before_it_is_set_up_the_gateway_says_what_to_do(federated_bare: Home) -> None:
    output = federated_bare.run("gateway", "start", code=3)
    assert "this gateway has no key of the certificate authority" in output
    assert "mosaic federation ca init" in output
    findings = {
        f["probe"]: f
        for f in json.loads(federated_bare.run("gateway", "doctor", "--json", code=2))["findings"]
    }
    assert findings["step-ca"]["status"] == "red"


def test_the_directory_is_closed_to_others_and_holds_no_key_in_clear(
    federated_bare: Home, set_up_authority: SetUp
) -> None:
    authority = set_up_authority(federated_bare)
    root_directory = Path(authority.made["root_directory"])
    files = [path for place in (authority.directory, root_directory) for path in place.rglob("*")]
    for path in (authority.directory, root_directory, *files):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    texts = {str(path.relative_to(path.parents[1])): path.read_text() for path in files if path.is_file()}
    assert not [
        name for name, text in texts.items() if "BEGIN PRIVATE KEY" in text or "BEGIN EC PRIVATE" in text
    ]
    config = json.loads((authority.directory / "config" / "ca.json").read_text())
    for provisioner in config["authority"]["provisioners"]:
        assert "d" not in provisioner["key"], "a private JWK"
        assert "encryptedKey" not in provisioner
        assert provisioner["claims"]["disableRenewal"] is True
    for place, key, certificate in (
        (authority.directory / "secrets", "intermediate_ca_key", "intermediate_ca.crt"),
        (root_directory, "root_ca_key", "root_ca.crt"),
    ):
        private = load_pem_private_key((place / key).read_bytes(), (place / "password").read_bytes())
        public = x509.load_pem_x509_certificate((authority.directory / "certs" / certificate).read_bytes())
        assert private.public_key() == public.public_key()


def test_the_same_command_again_changes_nothing_and_nothing_is_overwritten(
    federated_bare: Home, set_up_authority: SetUp, tmp_path: Path
) -> None:
    authority = set_up_authority(federated_bare)
    before = (authority.directory / "config" / "ca.json").read_bytes()
    url = ("--url", authority.made["url"])
    again = federated_bare.json("federation", "ca", "init", str(authority.directory), *url)
    assert authority.made["created"] is True
    assert again["created"] is False
    assert again["fingerprint"] == authority.made["fingerprint"]
    assert (authority.directory / "config" / "ca.json").read_bytes() == before

    elsewhere = str(tmp_path / "elsewhere")
    output = federated_bare.run("federation", "ca", "init", elsewhere, *url, code=4)
    assert "has the keys of an authority already" in output
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    output = federated_bare.run(
        "federation", "ca", "init", str(tmp_path / "taken"), *url, "--replace", code=4
    )
    assert "exists already" in output
    assert sorted(path.name for path in (tmp_path / "taken").iterdir()) == ["file"]
    assert not (tmp_path / "taken-root").exists()
    assert federated_bare.json("federation", "ca", "init", elsewhere, *url, "--replace")["created"] is True
    output = federated_bare.run("federation", "ca", "init", str(authority.directory), *url, code=4)
    assert "whose keys this gateway does not have" in output


def test_wrong_input_is_refused_before_anything_is_written(federated_bare: Home, tmp_path: Path) -> None:
    directory = str(tmp_path / "x")
    for arguments, says in (
        (("--url", "https://ca.example/path"), "--url: expected https"),
        (("--url", "https://ca.example", "--dns", "no name"), "'no name' is neither a DNS name nor"),
        (("--url", "https://ca.example", "--address", "9000"), "--address: expected"),
    ):
        assert says in federated_bare.run("federation", "ca", "init", directory, *arguments, code=2)
    assert not (tmp_path / "x").exists()


def test_people_are_told_what_is_next(federated_bare: Home, tmp_path: Path) -> None:
    output = federated_bare.run(
        "federation", "ca", "init", str(tmp_path / "ca"), "--url", "https://localhost:9000"
    )
    made = federated_bare.json(
        "federation", "ca", "init", str(tmp_path / "ca"), "--url", "https://localhost:9000"
    )
    assert f'"fingerprint": "{made["fingerprint"]}"' in output
    assert "step-ca config/ca.json --password-file secrets/password" in output
    assert "off this machine" in output


def test_show_says_how_it_is_and_says_so_when_it_is_not(
    federated_bare: Home, set_up_authority: SetUp
) -> None:
    authority = set_up_authority(federated_bare)
    process = authority.start()
    try:
        shown = federated_bare.json("federation", "ca", "show")
        told = federated_bare.run("gateway", "doctor", "--json", code=1)  # tests' Postgres has no fsync
        findings = {f["probe"]: f for f in json.loads(told)["findings"]}
    finally:
        process.kill()
        process.wait(60)
    assert shown["fingerprint"] == authority.made["fingerprint"]
    assert shown["revoked"] == 0
    assert len(shown["provisioners"]) == 2
    assert not [name for name in shown["provisioners"] if "unknown" in name]
    assert findings["step-ca"]["status"] == "green"
    output = federated_bare.run("federation", "ca", "show", code=5)
    assert "cannot be reached" in output


def test_a_gateway_that_has_its_certificate_starts_while_the_authority_is_down(
    federated_bare: Home, set_up_authority: SetUp, running: Start
) -> None:
    process = set_up_authority(federated_bare).start()
    try:
        first = running(federated_bare)
    finally:
        process.kill()
        process.wait(60)
    first.terminate()
    assert first.wait(60) == 0
    running(federated_bare)


def test_another_plugins_authority_may_take_its_place(
    tmp_path: Path, new_federated: Callable[..., Home], running: Start
) -> None:
    about = tmp_path / "site" / "outside_ca-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-ca\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[mosaic]\noutside_ca = outside_ca\n")
    (tmp_path / "site" / "outside_ca.py").write_text(_AUTHORITY)
    home = new_federated("--authority", "outside_ca", PYTHONPATH=str(tmp_path / "site"))
    running(home)
    loaded = {p["name"] for p in home.json("plugins", "list") if p["state"] == "loaded"}
    assert "outside_ca" in loaded
    assert "step_ca" not in loaded


_AUTHORITY = """
from mosaic_embedded_ca.authority import EmbeddedCA
from mosaic_embedded_ca.plugin import mosaic_migrations
from mosaic_embedded_ca.settings import Settings
from mosaic_hookspecs import hookimpl

class OutsideCA(EmbeddedCA):
    name = "outside_ca"

    def __init__(self, host):  # leaves out the refusal of the federated tier
        self._host, self._settings, self._loaded = host, Settings(), None

@hookimpl
def mosaic_authorities(host):
    return [OutsideCA(host)]
"""
