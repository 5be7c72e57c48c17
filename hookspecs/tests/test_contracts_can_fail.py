"""Each rule that matters fails for an implementation that breaks it, and passes for one that does not."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.testing import AuditSinkContract, ProbeContract, StorageContract
from mosaic_hookspecs.types import AuditEvent, DatabaseLocation, Finding, Probe

GREEN = Finding("green", "all is well")
SECRET = "hunter2"
Check = Callable[[], Awaitable[Any]]


async def fails(rule: Callable[..., Any], *given: Any) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        await rule(*given)
    assert not isinstance(caught.value, TypeError), caught.value  # it was called wrongly


# probes


def finds(finding: Any) -> Check:
    async def check() -> Any:
        return finding

    return check


async def hangs() -> Finding:
    await asyncio.sleep(3600)
    return GREEN


async def raises() -> Finding:
    raise RuntimeError("boom")


def blocks() -> Check:
    """From the second time on, and by turns: on a busy machine the contract's thread gets fewer in a second."""
    asked: list[int] = []

    async def check() -> Finding:
        asked.append(1)
        for _ in range(150 if len(asked) > 1 else 0):
            time.sleep(0.01)  # noqa: ASYNC251 - the fault
        return GREEN

    return check


async def clings() -> Finding:
    for _ in range(2):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.2)
    return GREEN


def forgets() -> Check:
    """It leaves a task behind."""
    left: set[asyncio.Task[None]] = set()

    async def check() -> Finding:
        left.add(asyncio.ensure_future(asyncio.sleep(30)))
        await asyncio.sleep(0)
        return GREEN

    return check


def only_once() -> Check:
    asked: list[int] = []

    async def check() -> Finding:
        asked.append(1)
        return GREEN if len(asked) == 1 else Finding("red", "it is taken", "wait")

    return check


def one_at_a_time() -> Check:
    asking: list[int] = []

    async def check() -> Finding:
        if asking:
            return Finding("red", "it is busy", "wait")
        asking.append(1)
        await asyncio.sleep(0.01)
        asking.clear()
        return GREEN

    return check


PROBES: dict[str, dict[str, Check]] = {
    "test_it_answers_in_time_with_a_finding": {
        "it returns a bool": finds(True),
        "a status of its own": finds(Finding("amber", "hm", "hm")),  # type: ignore[arg-type]
        "nothing to say": finds(Finding("green", "")),
        "it raises": raises,
        "it hangs": hangs,
    },
    "test_what_is_not_green_says_what_to_do": {"no remedy": finds(Finding("red", "it is broken"))},
    "test_no_secret_is_told": {
        "a password": finds(Finding("red", f"{SECRET} is refused", "mend it")),
        "a DSN": finds(Finding("red", "postgresql://u:pw@db.work.example/x is away", "mend it")),
        "in the remedy": finds(Finding("yellow", "hm", f"try {SECRET}")),
    },
    "test_it_awaits_and_never_blocks": {"it sleeps": blocks()},
    "test_it_can_be_run_again_and_several_times_at_once": {
        "once": only_once(),
        "one at a time": one_at_a_time(),
    },
    "test_it_ends_when_it_is_cancelled": {"it clings": clings, "it leaves a task": forgets()},
}


@pytest.mark.parametrize(("rule", "kind"), [(rule, kind) for rule, kinds in PROBES.items() for kind in kinds])
async def test_a_bad_probe_is_found(rule: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mosaic_hookspecs.testing.probes.PATIENCE", 60 if kind == "it sleeps" else 0.3)
    given = [[SECRET]] if "secret" in rule else []
    await fails(getattr(ProbeContract(), rule), Probe("bad", PROBES[rule][kind]), *given)


class TestGoodProbe(ProbeContract):
    @pytest.fixture
    def probe(self) -> Probe:
        async def check() -> Finding:
            await asyncio.sleep(0.01)
            return GREEN

        return Probe("good", check)


# audit sinks

Place = dict[UUID, list[str]]


class Sink:
    """Keeps the record in a list, as it should."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def record(self, event: AuditEvent) -> None:
        await asyncio.sleep(0)
        self.keep(event)

    def keep(self, event: AuditEvent) -> None:
        self.place[event.grant_id or UUID(int=0)].append(event.request_id)


class Late(Sink):
    async def record(self, event: AuditEvent) -> None:
        asyncio.get_running_loop().call_later(0.05, self.keep, event)


class Backwards(Sink):
    def keep(self, event: AuditEvent) -> None:
        self.place[event.grant_id or UUID(int=0)].insert(0, event.request_id)


class Lossy(Sink):
    """Whoever comes while another is written is lost."""

    busy = False

    async def record(self, event: AuditEvent) -> None:
        if not self.busy:
            self.busy = True
            await super().record(event)
            self.busy = False


class Shared(Sink):
    """All that wait share one task, and its end."""

    task: asyncio.Task[None] | None = None

    async def record(self, event: AuditEvent) -> None:
        if self.task is None or self.task.done():
            self.task = asyncio.ensure_future(asyncio.sleep(0.01))
        await self.task
        self.keep(event)


class Lines(Sink):
    def keep(self, event: AuditEvent) -> None:
        for _ in event.peer.splitlines():
            super().keep(event)


class Shouting(Sink):
    async def record(self, event: AuditEvent) -> None:
        raise Unavailable(f"grant {event.grant_id} was not recorded", remedy="look at the disk")


class Crashing(Sink):
    async def record(self, event: AuditEvent) -> None:
        raise OSError("no space left")


class Hanging(Sink):
    async def record(self, event: AuditEvent) -> None:
        await asyncio.sleep(3600)


SINKS: dict[str, tuple[type[Sink], ...]] = {
    "test_an_event_is_there_when_it_was_recorded": (Late, Backwards),
    "test_events_keep_their_order": (Backwards,),
    "test_of_events_at_once_each_is_kept_once": (Lossy,),
    "test_a_cancelled_one_takes_no_other_with_it": (Shared, Lossy),
    "test_no_text_makes_two_events_of_one": (Lines,),
    "test_what_cannot_be_written_is_refused_in_time": (Sink, Crashing, Hanging),
    "test_a_refusal_tells_nothing_of_the_event": (Shouting,),
}


def sinks(kind: type[Sink], place: Place) -> Callable[[], Any]:
    @asynccontextmanager
    async def make() -> AsyncIterator[Sink]:
        yield kind(place)

    return make


def reading(place: Place) -> Callable[[UUID], Awaitable[Sequence[str]]]:
    async def recorded(grant_id: UUID) -> Sequence[str]:
        return place[grant_id]

    return recorded


@pytest.mark.parametrize(
    ("rule", "kind"),
    [(rule, kind) for rule, kinds in SINKS.items() for kind in kinds],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
async def test_a_bad_sink_is_found(rule: str, kind: type[Sink], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mosaic_hookspecs.testing.audit_sinks.PATIENCE", 0.3)
    place: Place = defaultdict(list)
    make = sinks(kind, place)
    one_kind = ("a line break",) if "text" in rule else ()
    given = (make,) if "refus" in rule else (make, reading(place), *one_kind)
    await fails(getattr(AuditSinkContract(), rule), *given)


class TestGoodSink(AuditSinkContract):
    @pytest.fixture
    def place(self) -> Place:
        return defaultdict(list)

    @pytest.fixture
    def make(self, place: Place) -> Any:
        return sinks(Sink, place)

    @pytest.fixture
    def recorded(self, place: Place) -> Any:
        return reading(place)

    @pytest.fixture
    def broken(self, place: Place) -> Any:
        class Full(Sink):
            async def record(self, event: AuditEvent) -> None:
                raise Unavailable("an audit row cannot be written", remedy="make room on the disk")

        return sinks(Full, place)


# storages


class Tables:
    """As much of a Postgres as the contract asks for."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.version = 160_000

    async def execute(self, query: str, *_: Any) -> str:
        verb, _table, name, *_rest = query.split()
        (self.there.add if verb == "CREATE" else self.there.discard)(name)
        return ""

    async def fetchval(self, query: str, *_: Any) -> Any:
        if "FROM" in query:
            assert query.rsplit(maxsplit=1)[-1] in self.there, "no such table"
            return 7
        return self.version if "version" in query else "UTF8" if "encoding" in query else 1


class Store:
    """A storage as it should be."""

    name = "memory"
    tables = Tables()

    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        await asyncio.sleep(0)
        yield DatabaseLocation("x", "lead", "work", password=SECRET)


class Forgetful(Store):
    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        if serving:
            self.tables.there.clear()
        yield DatabaseLocation("x", "lead", "work")


class Old(Store):
    def __init__(self) -> None:
        self.tables = Tables()
        self.tables.version = 140_000


class Jealous(Store):
    """Nobody may join it, and what goes wrong inside leaves it locked."""

    locked = False

    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        if Jealous.locked:
            raise Unavailable("it is locked")
        Jealous.locked = True
        yield DatabaseLocation("x", "lead", "work")
        Jealous.locked = False


class Swallowing(Store):
    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        with suppress(LookupError):
            yield DatabaseLocation("x", "lead", "work")


class Talking(Store):
    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        yield DatabaseLocation(f"db?password={SECRET}", "lead", "work", password=SECRET)


class Silent(Store):
    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        raise ConfigError("it cannot be used")
        yield


class Leaking(Store):
    @asynccontextmanager
    async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
        raise ConfigError(f"{SECRET} is refused", remedy="use another")
        yield


STORAGES: dict[str, tuple[type[Store], ...]] = {
    "test_it_gives_a_postgres_that_answers": (Old,),
    "test_what_was_written_is_there_when_it_is_opened_again": (Forgetful,),
    "test_a_command_reaches_what_a_gateway_has_open": (Jealous,),
    "test_an_error_inside_comes_out_and_it_opens_again": (Jealous, Swallowing),
    "test_it_opens_after_an_opening_that_was_cancelled": (Jealous,),
    "test_its_location_shows_no_password": (Talking,),
    "test_what_cannot_be_used_is_refused_with_a_remedy": (Store, Silent, Leaking),
}


@pytest.mark.parametrize(
    ("rule", "kind"),
    [(rule, kind) for rule, kinds in STORAGES.items() for kind in kinds],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
async def test_a_bad_storage_is_found(rule: str, kind: type[Store]) -> None:
    Jealous.locked = False
    given: Sequence[Any] = (kind, connecting_to(kind().tables))
    if "answers" in rule:
        given = (*given, True)
    elif "password" in rule or "remedy" in rule:
        given = (kind, [SECRET])
    await fails(getattr(StorageContract(), rule), *given)


def connecting_to(tables: Tables) -> Callable[[DatabaseLocation], Any]:
    @asynccontextmanager
    async def connect(_location: DatabaseLocation) -> AsyncIterator[Tables]:
        yield tables

    return connect


class TestGoodStorage(StorageContract):
    @pytest.fixture
    def make(self) -> Any:
        return Store

    @pytest.fixture
    def connect(self) -> Any:
        return connecting_to(Store.tables)

    @pytest.fixture
    def unusable(self) -> Any:
        class Refusing(Store):
            @asynccontextmanager
            async def open(self, *, serving: bool) -> AsyncIterator[DatabaseLocation]:
                raise ConfigError("there is no password", remedy="write it into the file")
                yield

        return Refusing
