"""Policies of plugins have a say on each request, and notifications tell plugins of changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy
import pytest

from mosaic_federation.enrollment import Enrollment
from mosaic_federation.expiry import expiry_job
from mosaic_federation.grant_limits import GrantLimits
from mosaic_federation.keys import new_key, signing_request
from mosaic_gateway.plugins import Registry
from mosaic_hookspecs import PROJECT, hookimpl, specs
from mosaic_hookspecs.errors import Gone
from mosaic_hookspecs.testing import PolicyContract, peer_request
from mosaic_hookspecs.types import GrantNotice, PeerNotice, PeerRequest, Verdict

Asker = Callable[..., Callable[..., Awaitable[Any]]]


class Says:
    """A policy that always says the same, or raises it."""

    def __init__(self, name: str, what: Any) -> None:
        self.name = name
        self.what = what
        self.heard: list[PeerRequest] = []

    async def decide(self, request: PeerRequest) -> Verdict:
        self.heard.append(request)
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what  # type: ignore[no-any-return]  # whatever it is


class TestContract(PolicyContract):
    """The suite for policies, with a policy that passes it."""

    @pytest.fixture
    def policy(self) -> Any:
        class OnlyTasks:
            name = "only tasks"

            async def decide(self, request: PeerRequest) -> Verdict:
                return (
                    Verdict.allow() if request.resource == "tasks" else Verdict.deny("only tasks are shared")
                )

        return OnlyTasks()

    @pytest.fixture
    def allowed(self) -> PeerRequest:
        return peer_request()

    @pytest.fixture
    def denied(self) -> PeerRequest:
        return peer_request(resource="notes")


async def test_policies_are_asked_in_order_and_the_first_denial_is_the_answer(
    world: Any, asker: Asker
) -> None:
    yes, no, other = (
        Says("yes", Verdict.allow()),
        Says("no", Verdict.deny("closed", remedy="ask on Monday")),
        Says("other", Verdict.deny("never")),
    )
    world.gateway.policies = [("one", yes), ("two", no), ("three", other)]
    ask = asker()
    grant_id, certificate = await world.enrolled()
    answer = await ask(certificate)
    problem = await answer.get_json()
    assert (answer.status_code, problem["detail"], problem["remedy"]) == (403, "closed", "ask on Monday")
    assert problem["type"] == "urn:mosaic:problem:policy"
    assert answer.headers["RateLimit"]
    assert [row[2] for row in await world.audit()] == ["ok", "policy"]
    assert (len(yes.heard), len(no.heard), len(other.heard)) == (1, 1, 0)
    (request,) = yes.heard
    assert (request.peer, request.grant_id, request.subject_id) == ("home", grant_id, world.ada)
    assert (request.verb, request.resource, request.address) == ("list", "tasks", "192.0.2.1")
    world.gateway.policies = [("one", yes)]
    assert (await ask(certificate)).status_code == 200


async def test_no_policy_is_asked_about_who_is_not_let_in(world: Any, asker: Asker) -> None:
    policy = Says("yes", Verdict.allow())
    world.gateway.policies = [("one", policy)]
    assert (await asker()(None)).status_code == 403
    assert not policy.heard


@pytest.mark.parametrize(
    "what",
    [ValueError("at /srv/secret"), asyncio.CancelledError(), None, True, "yes", Verdict("no")],  # type: ignore[arg-type]
    ids=["raises", "cancels", "none", "true", "text", "not yes or no"],
)
async def test_one_that_fails_denies_and_is_named_to_the_admin_alone(
    world: Any, asker: Asker, what: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world.gateway.policies = [("hours", Says("opening hours", what))]
    _, certificate = await world.enrolled()
    answer = await asker()(certificate)
    text = await answer.get_data(as_text=True)
    assert (answer.status_code, "could not be asked" in text) == (403, True)
    assert "secret" not in text
    assert "hours" not in text
    assert "plugin 'hours': policy 'opening hours'" in caplog.text
    assert (await world.audit())[-1] == ("list", "tasks", "policy")


async def test_one_that_hangs_denies_in_time_even_if_it_will_not_be_cancelled(
    world: Any, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    never, cancelled = asyncio.Event(), asyncio.Event()

    class Stubborn:
        name = "stubborn"

        async def decide(self, request: PeerRequest) -> Verdict:
            try:
                await never.wait()
            except asyncio.CancelledError:
                cancelled.set()
                await never.wait()
            return Verdict.allow()

    world.gateway.policies = [("one", Stubborn())]
    _, certificate = await world.enrolled()
    assert (await asker(policy_timeout=0.01)(certificate)).status_code == 403
    assert "did not decide within 0.01 s" in caplog.text
    await cancelled.wait()
    never.set()


def listening(world: Any, **plugins: Any) -> None:
    """Give the gateway these plugins, each a dict of hooks."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    for name, hooks in plugins.items():
        module = ModuleType(name)
        for hook, function in hooks.items():
            setattr(module, hook, hookimpl(function))
        manager.register(module, name)
    manager.check_pending()
    world.gateway.registry = Registry(manager, tuple(SimpleNamespace(name=name) for name in plugins))


async def test_plugins_are_told_of_each_change_of_a_grant_and_its_peer(world: Any) -> None:
    heard: list[Any] = []

    async def mosaic_grant_changed(grant: GrantNotice) -> None:
        heard.append((grant.change, grant.version))

    async def mosaic_peer_enrolled(host: Any, peer: PeerNotice) -> None:
        heard.append(("peer enrolled", host.gateway_name, peer.peer, peer.gateway))

    async def mosaic_peer_revoked(peer: PeerNotice) -> None:
        heard.append(("peer revoked", peer.grant_id))

    hooks = (mosaic_grant_changed, mosaic_peer_enrolled, mosaic_peer_revoked)
    listening(world, ears={hook.__name__: hook for hook in hooks})
    offer = await world.offer()
    grant_id, token = offer.grant.id, offer.url.partition("#")[0].rpartition("/")[2]

    async def redeem() -> None:
        csr = signing_request(new_key())
        await Enrollment(world.host).redeem(token, csr=csr, name="home", request_id="r")

    await redeem()
    await world.grants.update(grant_id, {}, actor="test", limits=GrantLimits(concurrency=1))
    with pytest.raises(Gone):
        await redeem()
    await world.grants.release(grant_id, actor="test")
    await world.grants.revoke(grant_id, actor="test")
    assert heard == [
        ("created", 1),
        ("enrolled", 2),
        ("peer enrolled", "work", "home", "home"),
        ("updated", 3),
        ("quarantined", 4),
        ("released", 5),
        ("revoked", 6),
        ("peer revoked", grant_id),
    ]
    heard.clear()
    never_enrolled = await world.offer()
    await world.pool.execute("UPDATE federation_enrollment_tokens SET expires_at = now()")
    await expiry_job(world.host).run({})
    await world.grants.revoke(never_enrolled.grant.id, actor="test")
    assert heard == [("created", 1), ("expired", 2), ("revoked", 3)]


async def test_one_that_fails_to_hear_is_named_and_changes_nothing(
    world: Any, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mosaic_gateway.host._PATIENCE", 0.05)
    heard: list[str] = []

    async def raises(grant: GrantNotice) -> None:
        raise ValueError(grant.peer)

    async def hangs(grant: GrantNotice) -> None:
        await asyncio.Event().wait()

    async def cancels(grant: GrantNotice) -> None:
        raise asyncio.CancelledError

    async def hears(grant: GrantNotice) -> None:
        heard.append(grant.peer)

    def answers_at_once(grant: GrantNotice) -> None:  # not even asynchronous
        heard.append(grant.peer)

    hook = "mosaic_grant_changed"
    hooks = {"one": raises, "two": hangs, "three": hears, "four": answers_at_once, "five": cancels}
    listening(world, **{name: {hook: function} for name, function in hooks.items()})
    with caplog.at_level(logging.ERROR, "mosaic.plugins"):
        offer = await world.offer()
    assert (await world.grants.show(offer.grant.id)).status == "pending"
    assert heard == ["home", "home"]
    for name, why in (
        ("one", "failed"),
        ("two", "did not end within"),
        ("four", "failed"),
        ("five", "failed"),
    ):
        assert f"plugin '{name}': {hook} {why}" in caplog.text
    assert "'three'" not in caplog.text
