"""What h2 clients may do to streams without harm to the connection, or to us."""

from __future__ import annotations

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from mosaic_gateway.serving import load


class Client:
    """An h2 client with prior knowledge that does exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, window: int) -> None:
        self._reader, self._writer = reader, writer
        self.reset = set[int]()  # streams that the server ended
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.h2.initiate_connection()
        self.flush()

    @classmethod
    async def connect(cls, port: int, *, window: int = 65535) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port), window)

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    def ask(self, path: str, *, method: str = "GET", end: bool = True) -> int:
        stream = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "x")]
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    async def until(self, kind: type[h2.events.Event], stream: int | None = None) -> Any:
        """Read on until such an event; None if the connection ends before."""
        async with asyncio.timeout(30):
            while data := await self._reader.read(65536):
                events = self.h2.receive_data(data)
                self.reset |= {each.stream_id for each in events if isinstance(each, h2.events.StreamReset)}
                for event in events:
                    if isinstance(event, kind) and (stream is None or event.stream_id == stream):
                        return event
                self.flush()
        return None

    async def status_of(self, stream: int) -> bytes:
        """The status that this question is answered with."""
        answer = await self.until(h2.events.ResponseReceived, stream)
        return dict(answer.headers)[b":status"]

    def close(self) -> None:
        self._writer.close()


async def test_data_for_an_answered_request_leaves_the_connection_usable(served, site) -> None:
    async with served(site.app) as server:
        client = await Client.connect(server.port)
        early = client.ask("/nowhere", method="POST", end=False)
        assert await client.status_of(early) == b"404"
        for _ in range(20):  # more than the initial window: it must be reopened
            client.h2.send_data(early, bytes(10_000)) if client.h2.local_flow_control_window(
                early
            ) > 10_000 else None
        client.flush()
        later = client.ask("/")
        assert await client.status_of(later) == b"200"
        client.close()


async def test_the_window_survives_dropped_data(served, site) -> None:
    async with served(site.app) as server:
        client = await Client.connect(server.port)
        for _ in range(30):  # 30 × 40 kB through a connection window of 64 kB
            early = client.ask("/nowhere", method="POST", end=False)
            await client.until(h2.events.StreamEnded, early)
            while client.h2.outbound_flow_control_window < 40_000:
                assert await client.until(h2.events.WindowUpdated)
            for _ in range(4):
                client.h2.send_data(early, bytes(10_000))
            client.flush()
        later = client.ask("/")
        assert await client.until(h2.events.ResponseReceived, later)
        client.close()


async def test_a_client_that_resets_stream_after_stream_is_sent_away(served, site) -> None:
    async with served(site.app) as server:
        client = await Client.connect(server.port)
        for _ in range(150):
            client.h2.reset_stream(client.ask("/slow/60000"), h2.errors.ErrorCodes.CANCEL)
            client.flush()
            await asyncio.sleep(0)
        ended = await client.until(h2.events.ConnectionTerminated)
        assert ended.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
        client.close()
    assert site.requests <= 110


async def test_a_client_that_resets_now_and_then_is_served_on(served, site) -> None:
    async with served(site.app) as server:
        client = await Client.connect(server.port)
        for _ in range(130):
            client.h2.reset_stream(client.ask("/slow/60000"), h2.errors.ErrorCodes.CANCEL)
            for _ in range(2):
                assert await client.until(h2.events.StreamEnded, client.ask("/"))
        client.close()


@pytest.mark.parametrize("ending", ["reset", "close"])
async def test_an_unread_answer_is_freed_when_its_stream_or_connection_ends(served, ending: str) -> None:
    freed = asyncio.Semaphore(0)

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(1_000_000)})  # blocks: the window is closed
        freed.release()

    async with served(app) as server:
        client = await Client.connect(server.port, window=0)
        for _ in range(20):
            stream = client.ask("/")
            assert await client.until(h2.events.ResponseReceived, stream)
            if ending == "reset":
                client.h2.reset_stream(stream)
                client.flush()
        assert freed.locked() or ending == "reset"
        if ending == "close":
            client.close()
        async with asyncio.timeout(30):
            for _ in range(20):
                await freed.acquire()
        client.close()


async def test_a_stream_that_takes_nothing_is_reset_while_the_others_go_on(
    served, site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one answer here and one there could be held for as long as the client asks for something else."""
    monkeypatch.setattr(load, "_PACE", 1_000_000_000)
    async with served(site.app, read_timeout=1.0) as server:
        client = await Client.connect(server.port, window=0)
        held = client.ask("/big")
        async with asyncio.timeout(30):
            while held not in client.reset:
                stream = client.ask("/")
                client.h2.increment_flow_control_window(10_000, stream)
                client.flush()
                assert await client.until(h2.events.StreamEnded, stream)
        client.close()


async def test_a_client_that_never_opens_its_window_is_cut_off(served, site) -> None:
    async with served(site.app, read_timeout=0.4) as server:
        client = await Client.connect(server.port, window=0)
        client.ask("/big")
        assert await client.until(h2.events.StreamEnded) is None
        client.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_an_idle_connection_ends_after_its_time(served, site, reset: bool) -> None:
    async with served(site.app, keep_alive=0.4) as server:
        client = await Client.connect(server.port)
        stream = client.ask("/slow/60000" if reset else "/")
        if reset:
            await site.slow.wait()
            client.h2.reset_stream(stream)
            client.flush()
        assert await client.until(h2.events.ConnectionTerminated) is None, "the connection stayed open"
        client.close()


async def test_a_path_that_is_not_ascii_costs_only_its_stream(served, site) -> None:
    async with served(site.app) as server:
        client = await Client.connect(server.port)
        assert await client.until(h2.events.StreamReset, client.ask("/caf\u00e9"))
        assert await client.until(h2.events.ResponseReceived, client.ask("/"))
        client.close()


async def test_requests_that_wait_for_a_closed_window_keep_nobody_else_from_being_served(
    served, site
) -> None:
    async with served(site.app, max_requests=8) as server:
        client, other = await Client.connect(server.port, window=0), await Client.connect(server.port)
        for _ in range(40):
            assert await client.until(h2.events.ResponseReceived, client.ask("/"))
        for _ in range(20):
            assert await other.status_of(other.ask("/")) == b"200"
        client.close()
        other.close()


async def test_a_small_answer_is_not_kept_for_ever_while_others_of_its_connection_are_taken(
    served, site
) -> None:
    async with served(site.app, read_timeout=1.0) as server:
        client = await Client.connect(server.port, window=0)
        left = client.ask("/")
        while left not in client.reset:
            taken = client.ask("/")
            client.h2.increment_flow_control_window(1000, taken)
            client.flush()
            assert await client.until(h2.events.StreamEnded, taken)
        client.close()


async def test_requests_that_wait_for_their_client_count_as_memory(served, site) -> None:
    async with served(site.app, max_unsent=200_000) as server:
        client, other = await Client.connect(server.port, window=0), await Client.connect(server.port)
        statuses = set[bytes]()
        async with asyncio.timeout(30):
            while b"503" not in statuses:
                client.ask("/")
                statuses.add(await other.status_of(other.ask("/")))
        client.close()
        async with asyncio.timeout(30):
            while await other.status_of(other.ask("/")) != b"200":
                pass
        other.close()
