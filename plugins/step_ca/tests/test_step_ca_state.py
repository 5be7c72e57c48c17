"""The probe, and the settings: what an operator is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mosaic_hookspecs.testing.authorities import issue
from mosaic_step_ca.authority import StepCA
from mosaic_step_ca.plugin import mosaic_probes
from mosaic_step_ca.probe import judge
from mosaic_step_ca.settings import Settings
from mosaic_step_ca.state import State, state_of

if TYPE_CHECKING:
    from conftest import StepCAServer

HostOf = Callable[..., Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FINE = State(
    url="https://ca:9000",
    fingerprint="0" * 64,
    root_ends=NOW + timedelta(days=3000),
    intermediate_ends=NOW + timedelta(days=2000),
    list_ends=NOW + timedelta(minutes=9),
    revoked=3,
    clock=timedelta(seconds=2),
    provisioners={"work-grants": True, "work-listeners": True},
)


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({}, "green", "until 2031-06-24; 3 revoked"),
        ({"provisioners": {}}, "red", "no key of it"),
        ({"provisioners": {"work-grants": False, "work-listeners": True}}, "red", "keys: work-grants"),
        ({"list_ends": NOW}, "red", "list is too old"),
        ({"intermediate_ends": NOW + timedelta(days=29)}, "yellow", "end on 2026-01-30"),
        ({"root_ends": NOW - timedelta(days=1)}, "red", "end on 2025-12-31"),
        ({"clock": timedelta(seconds=-45)}, "yellow", "differs from ours by 45 s"),
    ],
)
def test_the_worst_is_said_and_what_to_do(change: dict[str, Any], status: str, says: str) -> None:
    finding = judge(replace(FINE, **change), NOW)
    assert finding.status == status
    assert says in finding.detail
    assert bool(finding.remedy) == (status != "green")


async def test_the_probe_sees_a_running_authority_and_what_it_has_revoked(
    step_ca: StepCAServer, authority: StepCA, host_of: HostOf
) -> None:
    host = host_of(**step_ca.settings)
    before = (await state_of(host)).revoked
    await authority.revoke((await issue(authority)).serial)
    state = await state_of(host)
    assert state.revoked == before + 1
    assert state.provisioners == {"work-grants": True, "work-listeners": True}
    assert timedelta(hours=23) < state.list_ends - datetime.now(UTC) <= timedelta(hours=24)
    assert abs(state.clock) <= timedelta(seconds=2)
    (probe,) = mosaic_probes(host)
    assert (await probe.check()).status == "green"


async def test_an_authority_that_was_given_another_config_is_red(
    new_step_ca: Callable[[], StepCAServer], host_of: HostOf
) -> None:
    server = new_step_ca()
    host = host_of(**server.settings)
    await server.adopt(host)
    file = server.home / "config" / "ca.json"
    config = json.loads(file.read_text())
    del config["authority"]["provisioners"][0]
    file.write_text(json.dumps(config))
    (probe,) = mosaic_probes(host)
    with server.running():
        finding = await probe.check()
    assert (finding.status, finding.detail) == ("red", "it does not know this gateway's keys: work-grants")


@pytest.mark.parametrize(
    "table",
    [
        {"url": "https://ca:9000"},
        {"fingerprint": "0" * 64},
        {"url": "http://ca:9000", "fingerprint": "0" * 64},
        {"url": "https://u:p@ca:9000", "fingerprint": "0" * 64},
        {"url": "https://ca:9000/1.0", "fingerprint": "0" * 64},
        {"url": "https://ca:9000?x=1", "fingerprint": "0" * 64},
        {"url": "https://ca:9000", "fingerprint": "0" * 63},
        {"url": "https://ca:9000", "fingerprint": 7},
    ],
)
def test_settings_that_cannot_be_right_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"url|fingerprint"):
        Settings(**table)


def test_a_fingerprint_may_be_written_as_openssl_prints_it() -> None:
    settings = Settings(url="https://CA.example:9000/", fingerprint=":".join(["AB"] * 32))
    assert settings.fingerprint == "ab" * 32
    assert settings.url == "https://ca.example:9000"
