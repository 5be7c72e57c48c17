"""What a shell may hand to the commands about grants, and who they say did it. No gateway is needed to refuse it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mosaic_federation.cli import federation
from mosaic_federation.cli.shared import actor
from mosaic_hookspecs.errors import Invalid, Malformed

GRANT = "0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11"


@pytest.mark.parametrize("change", [["update", "--max-rows", "5"], ["revoke"], ["release"], ["reissue"]])
@pytest.mark.parametrize("reason", ["", "a\udcffb", "a\x1b[2Jb", "a\u202eb", "a\nb", "x" * 501])
def test_a_reason_is_refused_as_over_http(change: list[str], reason: str) -> None:
    done = CliRunner().invoke(federation, ["grant", change[0], GRANT, *change[1:], "--reason", reason])
    assert (done.exit_code, type(done.exception)) == (2, SystemExit)
    assert "printable characters" in done.output
    assert "\x1b" not in done.output


@pytest.mark.parametrize("version", ["0", "-1", str(2**31), "9" * 30, "x"])
def test_a_version_that_no_grant_has_is_refused(version: str) -> None:
    done = CliRunner().invoke(federation, ["grant", "revoke", GRANT, "--expected-version", version])
    assert (done.exit_code, type(done.exception)) == (2, SystemExit)


@pytest.mark.parametrize("peer", ["", "a\udcff", "Home", "a b"])
def test_a_peer_that_cannot_be_is_refused(peer: str) -> None:
    done = CliRunner().invoke(federation, ["grant", "list", "--peer", peer])
    assert isinstance(done.exception, Invalid)


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("http://127.0.0.1/federation/v1/enroll/x\n", ["-"], "--yes"),
        ("http://127.0.0.1/federation/v1/enroll/x\n", [], "--yes"),
        ("", ["-"], "nothing was given"),
        ("\n", ["-", "--yes"], "nothing was given"),
    ],
)
def test_a_pipe_that_cannot_be_asked_or_is_empty_is_refused(url: str, options: list[str], said: str) -> None:
    done = CliRunner().invoke(federation, ["peer", "add", *options], input=url)
    assert isinstance(done.exception, Malformed)
    assert said in str(done.exception)


def test_the_record_names_the_account_and_not_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody")
    assert actor() == f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become an account that is not there")
def test_an_account_without_a_name_is_on_record_by_its_number() -> None:
    program = "import os; from mosaic_federation.cli.shared import actor; os.setuid(54321); print(actor())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "cli:54321"
