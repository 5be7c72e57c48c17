from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from mosaic_office_hours.policies import Hours, KnownNetworks
from mosaic_office_hours.settings import Settings
from pydantic import ValidationError

from mosaic_gateway.testing import Pair, TwoGateways
from mosaic_hookspecs.protocols import PeerPolicy
from mosaic_hookspecs.testing import PolicyContract, peer_request
from mosaic_hookspecs.types import PeerRequest

OSLO = Settings(zone="Europe/Oslo")


def at(text: str) -> PeerRequest:
    return peer_request(at=datetime.fromisoformat(text).replace(tzinfo=UTC))


class TestHours(PolicyContract):
    @pytest.fixture
    def policy(self) -> PeerPolicy:
        return Hours(OSLO)

    @pytest.fixture
    def allowed(self) -> PeerRequest:
        return at("2026-11-20 07:00")  # a Friday, 08:00 in Oslo

    @pytest.fixture
    def denied(self) -> PeerRequest:
        return at("2026-11-20 06:59")


class TestKnownNetworks(PolicyContract):
    @pytest.fixture
    def policy(self) -> PeerPolicy:
        return KnownNetworks([ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")])

    @pytest.fixture
    def allowed(self) -> PeerRequest:
        return peer_request(address="2001:db8:1::")

    @pytest.fixture
    def denied(self) -> PeerRequest:
        return peer_request(address="unknown")


@pytest.mark.parametrize(
    ("when", "allowed"),
    [
        ("2026-11-20 15:59", True),
        ("2026-11-20 16:00", False),  # 17:00 in Oslo: closed
        ("2026-07-17 06:00", True),  # summer time: 08:00
        ("2026-07-17 15:00", False),
        ("2026-11-21 10:00", False),  # a Saturday
        ("2026-11-22 10:00", False),
    ],
)
async def test_the_hours_are_those_of_the_zone(when: str, allowed: bool) -> None:
    assert (await Hours(OSLO).decide(at(when))).allowed is allowed


@pytest.mark.parametrize(
    "wrong", [{"zone": "Oslo"}, {"zone": ""}, {"zone": "../x"}, {"opens": "18:00"}, {"days": []}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**({"zone": "Europe/Oslo"} | wrong))


@pytest.fixture(scope="module")
def pair(two_gateways: TwoGateways) -> Pair:
    """Two gateways that are open all day, for each other."""
    always = {"zone": "UTC", "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "00:00"}
    config = {**always, "closes": "23:59:59.999999", "networks": ["127.0.0.0/8"]}
    return two_gateways("office_hours", "workspace", resources=["tasks"], config=config)


def test_a_peer_reads_while_the_gateway_is_open(pair: Pair) -> None:
    assert pair.read("tasks").status_code == 200


def test_and_is_told_when_it_is_not(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mosaic_office_hours.policies._DAYS", ("never",) * 7)
    refused = pair.read("tasks")
    assert refused.status_code == 403
    assert "closed at this hour" in refused.text
    assert "ask between 00:00" in refused.text
