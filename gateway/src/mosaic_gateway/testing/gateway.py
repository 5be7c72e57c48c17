"""A gateway on the embedded tier, running in a thread of this process."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mosaic_gateway.testing.commands import in_process_of_its_own, in_this_process
from mosaic_gateway.testing.ports import free_port
from mosaic_gateway.testing.prepared import add_user, new_folder, prepare

if TYPE_CHECKING:
    import httpx

    from mosaic_gateway.boot import Gateway
    from mosaic_gateway.testing.world import RowsWorld
    from mosaic_hookspecs.protocols import Host
    from mosaic_hookspecs.types import DatabaseLocation, Finding

T = TypeVar("T")
Started = Future[tuple["Gateway", asyncio.AbstractEventLoop]]
USER = "lead"
PATIENCE = 60.0  # seconds


class LiveGateway:
    """A running gateway with one user, ``lead``, who is an admin.

    ``name`` is what peers see it called, ``config`` the path of its config, ``url`` where users reach it, ``token``
    that of ``lead``, and ``client`` an :class:`httpx.Client` that speaks as them: ``gateway.client.get("/v1/tasks")``.
    """

    def __init__(self, config: Path, inside: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self._inside, self._loop = inside, loop
        self._clients: list[httpx.Client] = []
        self.name = inside.name
        self.config = config
        self.url = inside.composition.host.public_url
        self.token = self._await(add_user(inside.identities, USER, admin=True))
        self.client = self._client(self.token)

    def client_of(self, username: str) -> httpx.Client:
        """Add one more user; the client speaks as them."""
        return self._client(self._await(add_user(self._inside.identities, username)))

    def mosaic(self, *command: str, code: int = 0) -> str:
        """Run a command, such as ``"user", "list"``, and return what it printed.

        It runs in this process, save those of the group ``gateway``, which take a process for themselves.
        Raises :class:`AssertionError` with all of that if it exits with another code than ``code``.
        """
        run = in_process_of_its_own if command[:1] == ("gateway",) else in_this_process
        printed, exit_code = run("--config", str(self.config), *command)
        if exit_code != code:
            raise AssertionError(f"mosaic {' '.join(command)} exited with {exit_code}:\n{printed}")
        return printed

    def mosaic_json(self, *command: str, code: int = 0) -> Any:
        """The same with ``--json``, read."""
        return json.loads(self.mosaic(*command, "--json", code=code))

    @property
    def location(self) -> DatabaseLocation:
        """Where its Postgres is."""
        return self._inside.location

    def findings(self) -> dict[str, Finding]:
        """What each probe finds now, by its name."""
        from mosaic_gateway.health import run_probes

        return {each.name: each.finding for each in self._await(run_probes(self._inside.probes))}

    def ask(self, plugin: str, work: Callable[[Host], Awaitable[T]]) -> T:
        """Await ``work(host)`` inside the gateway, with the host as that plugin sees it."""
        return self._await(work(self._inside.composition.view(plugin)))

    @asynccontextmanager
    async def world(self) -> AsyncIterator[RowsWorld]:
        """Its rows, users and grants in the test's own loop: what ``ResourceContract`` tries a resource in."""
        from mosaic_gateway.boot import open_gateway
        from mosaic_gateway.compose import compose
        from mosaic_gateway.config import read_config
        from mosaic_gateway.testing.world import RowsWorld

        async with open_gateway(compose(read_config(self.config)), serving=False) as inside:
            yield RowsWorld(inside.rows, inside.database)

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            client.close()

    def _client(self, token: str) -> httpx.Client:
        import httpx

        headers = {"Authorization": f"Bearer {token}"}
        self._clients.append(httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE))
        return self._clients[-1]

    def _await(self, work: Awaitable[T]) -> T:
        async def main() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(main(), self._loop).result(PATIENCE)


@contextmanager
def live_gateway(
    *plugins: str, config: Mapping[str, Any] | None = None, name: str = "work", **tables: Mapping[str, Any]
) -> Iterator[LiveGateway]:
    """Run a gateway with these plugins, and no others but its tier's, while entered.

    ``config`` is the table of the first plugin; those of others are keywords by their names. Raises
    :class:`ConfigError` with every fault found, as `mosaic gateway start` does.
    """
    chosen: dict[str, Mapping[str, Any]] = {plugin: {} for plugin in plugins} | tables
    if config:
        chosen[plugins[0]] = config
    folder = new_folder()
    try:
        listen = {"public": {"port": free_port()}}
        path = prepare(folder / name, {"name": name, "listen": listen, "plugins": chosen})
        with _running(path) as gateway:
            yield gateway
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(config: Path) -> Iterator[LiveGateway]:
    started, stop = Started(), asyncio.Event()
    # daemon: one that a plugin keeps from starting or from ending does not keep pytest
    thread = threading.Thread(
        target=_serve, args=(config, stop, started), name=config.parent.name, daemon=True
    )
    thread.start()
    inside, loop = started.result(PATIENCE)
    try:
        with closing(LiveGateway(config, inside, loop)) as gateway:
            yield gateway
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)


def _serve(config: Path, stop: asyncio.Event, started: Started) -> None:
    try:
        asyncio.run(_main(config, stop, started))
    except BaseException as error:
        if started.done():
            raise  # pytest shows what a thread raised
        started.set_exception(error)


async def _main(config: Path, stop: asyncio.Event, started: Started) -> None:
    from mosaic_gateway.cli.start import serve_alone
    from mosaic_gateway.compose import compose
    from mosaic_gateway.config import read_config
    from mosaic_gateway.serving import bind

    composition = compose(read_config(config))
    sockets = [bind(listener) for listener in composition.listeners]
    loop = asyncio.get_running_loop()
    try:
        await serve_alone(composition, sockets, stop=stop, started=lambda up: started.set_result((up, loop)))
    finally:
        for sock in sockets:
            sock.close()
