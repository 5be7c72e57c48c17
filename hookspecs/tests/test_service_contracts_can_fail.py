"""The same for limiters, caches, queues and policies: a rule fails for what breaks it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from inspect import isawaitable, signature
from typing import Any

import pytest

from mosaic_hookspecs.errors import MosaicError, NotFound
from mosaic_hookspecs.gcra import Counts
from mosaic_hookspecs.testing import (
    CacheContract,
    LimiterContract,
    PolicyContract,
    QueueContract,
    peer_request,
)
from mosaic_hookspecs.types import Decision, FailedJob, Job, PeerRequest, Rate, Verdict

Make = Callable[[], Any]
Load = Callable[[], Awaitable[bytes | None]]


class Service:
    """Opens and closes."""

    name = "memory"

    def __init__(self, shared: dict[str, Any]) -> None:
        self.shared = shared

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        yield


def making(kind: type[Service]) -> Make:
    shared: dict[str, Any] = {}

    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        service = kind(shared)
        async with service.open():
            yield service

    return make


# limiters


class Limiter(Service):
    """As it should be."""

    def __init__(self, shared: dict[str, Any]) -> None:
        super().__init__(shared)
        self.counts: Counts = shared.setdefault("counts", Counts())

    async def take(self, key: str, rate: Rate) -> Decision:
        return (await self.take_all([(key, rate)]))[0]

    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        return self.counts.take_all(wanted)


class Generous(Limiter):
    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        return [Decision(True, rate.limit, 0) for _, rate in wanted]


class Vague(Limiter):
    """It does not say when there is room."""

    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        return [replace(each, retry_after=0.0001) for each in await super().take_all(wanted)]


class Blurred(Limiter):
    """All keys are one."""

    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        return self.counts.take_all([("", rate) for _, rate in wanted])


class OneByOne(Limiter):
    async def take_all(self, wanted: Sequence[tuple[str, Rate]]) -> Sequence[Decision]:
        return [self.counts.take_all([each])[0] for each in wanted]


LIMITERS: dict[str, tuple[type[Service], ...]] = {
    "test_up_to_the_limit_at_once_and_no_more": (Generous, Vague),
    "test_there_is_room_again_when_it_says_so": (Vague,),
    "test_keys_and_rates_are_counted_apart": (Blurred,),
    "test_askers_at_the_same_time_share_one_limit": (Generous,),
    "test_several_at_once_are_counted_all_or_none": (OneByOne,),
    "test_several_at_once_share_their_limits_with_others": (Generous,),
}


# caches


class Cache(Service):
    """As it should be."""

    async def get(self, key: str, load: Load, *, ttl: float) -> bytes | None:
        kept = self.shared.get(key)
        if kept and kept[1] > time.monotonic():
            return bytes(kept[0])
        before = self.shared.get("forgotten", 0)
        value = await load()
        if value is not None and before == self.shared.get("forgotten", 0):
            self.shared[key] = (value, time.monotonic() + ttl)
        return value

    async def forget(self, *keys: str) -> None:
        self.shared["forgotten"] = self.shared.get("forgotten", 0) + 1
        for key in keys:
            self.shared.pop(key, None)

    async def publish(self, channel: str, message: str) -> None:
        for queue in self.shared.get(f"heard {channel}", ()):
            queue.put_nowait(message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[str | None]]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self.shared.setdefault(f"heard {channel}", []).append(queue)

        async def heard() -> AsyncIterator[str | None]:
            while True:
                yield await queue.get()

        yield heard()


class NoCache(Cache):
    async def get(self, key: str, load: Load, *, ttl: float) -> bytes | None:
        return await load()


class Eternal(Cache):
    async def get(self, key: str, load: Load, *, ttl: float) -> bytes | None:
        return await super().get(key, load, ttl=3600)


class Stubborn(Cache):
    async def forget(self, *keys: str) -> None:
        return


class Private(Cache):
    """Each process keeps its own."""

    def __init__(self, shared: dict[str, Any]) -> None:
        super().__init__({})


class Overtaken(Cache):
    async def get(self, key: str, load: Load, *, ttl: float) -> bytes | None:
        if (value := self.shared.get(key)) is None:
            self.shared[key] = value = await load()
        return bytes(value)


class Calm(Cache):
    async def get(self, key: str, load: Load, *, ttl: float) -> bytes | None:
        with suppress(LookupError):
            return await super().get(key, load, ttl=ttl)
        return None


class Everywhere(Cache):
    async def publish(self, channel: str, message: str) -> None:
        await super().publish("news", message)


class Reversed(Cache):
    async def publish(self, channel: str, message: str) -> None:
        loop = asyncio.get_running_loop()
        if int(message) % 2:
            loop.call_soon(asyncio.ensure_future, super().publish(channel, message))
        else:
            await super().publish(channel, message)


CACHES: dict[str, tuple[type[Service], ...]] = {
    "test_what_was_loaded_is_kept": (NoCache,),
    "test_a_value_is_loaded_anew_when_its_time_is_over": (Eternal,),
    "test_who_forgets_sees_what_is_new_at_once": (Stubborn,),
    "test_what_one_forgets_every_process_forgets": (Private,),
    "test_what_was_loaded_before_the_news_is_not_kept_after_it": (Overtaken,),
    "test_a_failing_load_fails_its_asker_alone": (Calm,),
    "test_a_message_reaches_everyone_on_its_channel": (Private, Everywhere),
    "test_messages_come_in_the_order_they_were_sent": (Reversed,),
}


# queues


class Queue(Service):
    """As much of one as these rules ask for: it runs what is enqueued while somebody works."""

    async def enqueue(self, job: Job, data: Mapping[str, Any] | None = None, *, delay: float = 0) -> str:
        number = str(len(self.shared))
        self.shared[number] = (job, dict(data or {}))
        return number

    @asynccontextmanager
    async def work(self, jobs: Sequence[Job]) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self._work())
        yield
        task.cancel()

    async def _work(self) -> None:
        while True:
            for number in [key for key in self.shared if key.isdigit()]:
                job, data = self.shared.pop(number)
                await self.run(number, job, data)
            await asyncio.sleep(0.01)

    async def run(self, number: str, job: Job, data: Mapping[str, Any]) -> None:
        try:
            await job.run(data)
        except Exception as error:
            text = error.detail if isinstance(error, MosaicError) else type(error).__name__
            self.fail(number, job, self.text(error, text))

    def text(self, _error: Exception, text: str) -> str:
        return text

    def fail(self, number: str, job: Job, text: str) -> None:
        failed = FailedJob(number, job.name, job.attempts, text, datetime.now(UTC))
        self.shared.setdefault("failed", []).append(failed)

    async def failed(self) -> list[FailedJob]:
        return list(self.shared.get("failed", ()))

    async def retry(self, job_id: str) -> None:
        raise NotFound("there is no such failed job")


class Twice(Queue):
    async def run(self, number: str, job: Job, data: Mapping[str, Any]) -> None:
        await super().run(number, job, data)
        await super().run(number, job, data)


class Hasty(Queue):
    """Delays count for nothing, and nobody looks at the clock."""


class Telling(Queue):
    def text(self, error: Exception, _text: str) -> str:
        return str(error)


class Willing(Queue):
    async def retry(self, job_id: str) -> None:
        return


class Forgetful(Queue):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self.shared.clear()
        yield


QUEUES: dict[str, tuple[type[Service], ...]] = {
    "test_a_job_runs_once_with_its_data": (Twice,),
    "test_a_job_outlives_the_process_that_asked_for_it": (Forgetful,),
    "test_a_job_waits_for_its_delay": (Hasty,),
    "test_two_workers_share_jobs_without_running_one_twice": (Twice,),
    "test_the_text_of_an_unexpected_error_is_not_shown": (Telling,),
    "test_only_a_failed_job_can_be_retried": (Willing,),
}
SUITES: dict[type, dict[str, tuple[type[Service], ...]]] = {
    LimiterContract: LIMITERS,
    CacheContract: CACHES,
    QueueContract: QUEUES,
}


@pytest.mark.parametrize(
    ("suite", "rule", "kind"),
    [
        (suite, rule, kind)
        for suite, rules in SUITES.items()
        for rule, kinds in rules.items()
        for kind in kinds
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
async def test_a_bad_service_is_found(suite: type, rule: str, kind: type[Service]) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        async with asyncio.timeout(3):
            await getattr(suite(), rule)(making(kind))
    assert not isinstance(caught.value, TypeError | AttributeError), caught.value


class TestGoodCache(CacheContract):
    @pytest.fixture
    def make(self) -> Make:
        return making(Cache)


@pytest.mark.parametrize("rule", [rule for rule in QUEUES if "delay" not in rule])
async def test_a_good_queue_passes(rule: str) -> None:
    await getattr(QueueContract(), rule)(making(Queue))


# policies


class Policy:
    """Denies what comes from one address."""

    name = "addresses"

    async def decide(self, request: PeerRequest) -> Verdict:
        return self.deny(request) if request.address == "192.0.2.9" else Verdict.allow()

    def deny(self, _request: PeerRequest) -> Verdict:
        return Verdict.deny("not from there")


class Nameless(Policy):
    name = ""


class Permitting(Policy):
    def deny(self, _request: PeerRequest) -> Verdict:
        return Verdict.allow()


class Mute(Policy):
    def deny(self, _request: PeerRequest) -> Verdict:
        return Verdict.deny("")


class Fragile(Policy):
    async def decide(self, request: PeerRequest) -> Verdict:
        if request.verb == "renew":
            raise KeyError(request.verb)
        return await super().decide(request)


class Slow(Policy):
    async def decide(self, request: PeerRequest) -> Verdict:
        await asyncio.sleep(0.7)
        return await super().decide(request)


class Muddled(Policy):
    """Requests at once get each other's verdict."""

    last: PeerRequest

    async def decide(self, request: PeerRequest) -> Verdict:
        self.last = request
        await asyncio.sleep(0)
        return await super().decide(self.last)


ALLOWED, DENIED = peer_request(), peer_request(address="192.0.2.9")
POLICIES: dict[str, tuple[type[Policy], ...]] = {
    "test_it_has_a_name": (Nameless,),
    "test_it_allows_and_denies": (Permitting,),
    "test_a_denial_tells_the_peer_why": (Mute,),
    "test_it_decides_on_anything_a_peer_may_ask_and_in_time": (Fragile, Slow),
    "test_requests_at_once_do_not_disturb_each_other": (Muddled,),
}


@pytest.mark.parametrize(
    ("rule", "kind"),
    [(rule, kind) for rule, kinds in POLICIES.items() for kind in kinds],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
async def test_a_bad_policy_is_found(rule: str, kind: type[Policy]) -> None:
    given = {"policy": kind(), "allowed": ALLOWED, "denied": DENIED}
    method = getattr(PolicyContract(), rule)
    with pytest.raises((AssertionError, KeyError, TimeoutError)):
        found = method(**{name: given[name] for name in signature(method).parameters})
        if isawaitable(found):
            await found


class TestGoodPolicy(PolicyContract):
    @pytest.fixture
    def policy(self) -> Policy:
        return Policy()

    @pytest.fixture
    def allowed(self) -> PeerRequest:
        return ALLOWED

    @pytest.fixture
    def denied(self) -> PeerRequest:
        return DENIED
