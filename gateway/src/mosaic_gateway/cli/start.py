"""Serve a composed gateway: alone in this process, or with worker processes."""

from __future__ import annotations

import ctypes
import gc
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import click

from mosaic_gateway.boot import open_gateway, open_storage
from mosaic_gateway.http import (
    behind_proxies,
    listener_app,
    metrics_mount,
    mounts_of,
    public_app,
    quick_first,
)
from mosaic_gateway.metrics.sharing import Figures, shared_directory
from mosaic_gateway.serving import Endpoint, Limits, bind, inherited, run, serve, stop_event, supervise

if TYPE_CHECKING:
    import asyncio

    from mosaic_gateway.boot import Gateway
    from mosaic_gateway.cli.shell import Shell
    from mosaic_gateway.compose import Composition

_ALIVE = ("/healthz",)  # answered at any load
# Objects that came and did not go, until the youngest are looked through; then so many times until the older ones are.
_GARBAGE = (2_000, 5, 5)
_MMAP_THRESHOLD, _LARGE = -3, 128 * 1024  # M_MMAP_THRESHOLD of mallopt(3), bytes


def serve_gateway(shell: Shell, workers: int, log_level: str) -> None:
    """Bind every listener, own the storage, serve until a stop signal."""
    _give_back_large()
    composition = shell.composition
    sockets = [bind(listener) for listener in composition.listeners]
    if workers == 1:
        run(_alone(composition, sockets))
    else:
        argv = [sys.executable, "-m", "mosaic_gateway.cli", "--config", str(shell.source.path)]
        worker = [*argv, "gateway", "worker", "--log-level", log_level]
        run(_with_workers(worker, composition, sockets, workers))


async def _alone(composition: Composition, sockets: Sequence[socket.socket]) -> None:
    with stop_event() as stop:
        await serve_alone(composition, sockets, stop=stop, started=lambda _: _started(composition, sockets))


def _started(composition: Composition, sockets: Sequence[socket.socket]) -> None:
    _collect_garbage()
    _announce(composition, sockets)


def _give_back_large() -> None:
    """Have glibc go on to map what is large by itself, and to give it back when it is free.

    Left alone it stops to once it has freed some. The 256 KiB that uvloop takes for each connection over TLS then lie
    among small blocks that stay, and the heap grows while what is in use does not. To be called before much is loaded.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # musl has no such function, and does so anyway
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)


def _collect_garbage() -> None:
    """As who serves for weeks has to: a command sets that its garbage is hardly ever looked for.

    Connections go by themselves, but what h2, routing and errors of libraries leave is found only so. What start made
    stays, and is looked through no more.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # or a quarter of what is frozen would have to come anew before all is looked through
    gc.set_threshold(*_GARBAGE)


async def serve_alone(
    composition: Composition,
    sockets: Sequence[socket.socket],
    *,
    stop: asyncio.Event,
    started: Callable[[Gateway], None],
) -> None:
    """Own the storage and serve in this process until ``stop``; ``started`` is called once all is up."""
    async with open_gateway(composition, serving=True) as gateway, gateway.working():
        started(gateway)
        await _serve(gateway, sockets, stop)


async def _with_workers(
    argv: Sequence[str], composition: Composition, sockets: Sequence[socket.socket], workers: int
) -> None:
    with stop_event() as stop:
        async with open_storage(composition, serving=True):
            _announce(composition, sockets)
            patience = composition.config.limits.drain_seconds + 5
            with shared_directory() if composition.config.metrics.bind else nullcontext():
                await supervise(argv, sockets, workers=workers, stop=stop, patience=patience)


def serve_worker(shell: Shell) -> None:
    """Serve on the sockets of the parent until it says stop, or is gone."""
    _give_back_large()
    composition = shell.composition

    async def main() -> None:
        with stop_event() as stop:
            sockets = inherited(stop)
            async with open_gateway(composition, serving=False) as gateway, gateway.working():
                _collect_garbage()
                await _serve(gateway, sockets, stop)

    run(main())


async def _serve(gateway: Gateway, sockets: Sequence[socket.socket], stop: asyncio.Event) -> None:
    composition = gateway.composition
    figures = Figures(composition.host.metrics)
    async with figures.kept_written():
        await serve(
            _endpoints(gateway, sockets, figures),
            stop=stop,
            limits=_limits(composition),
            served=composition.host.listeners,
            fast=composition.config.serving.fast,
            metrics=composition.host.metrics,
        )


def _endpoints(gateway: Gateway, sockets: Sequence[socket.socket], figures: Figures) -> list[Endpoint]:
    endpoints, mounts = [], [metrics_mount(figures), *gateway.mounts]
    for listener, sock in zip(gateway.composition.listeners, sockets, strict=True):
        if listener.name == "public":
            trusted = gateway.composition.config.listen.public.trusted_proxies
            app = behind_proxies(public_app(gateway), trusted)
            endpoints.append(Endpoint(listener, app, sock, spared=_ALIVE))
        else:
            largest = listener.limits.max_body_bytes or gateway.max_body_bytes
            app = listener_app(listener.name, mounts, max_body_bytes=largest)
            if gateway.composition.config.serving.fast:
                app = quick_first(app, mounts_of(listener.name, mounts))
            endpoints.append(Endpoint(listener, app, sock))
    return endpoints


def _limits(composition: Composition) -> Limits:
    limits = composition.config.limits
    return Limits(
        max_connections=limits.connections,
        max_requests=limits.requests,
        max_unsent=limits.unsent_bytes,
        max_lag=limits.lag_seconds,
        drain=limits.drain_seconds,
    )


def _announce(composition: Composition, sockets: Sequence[socket.socket]) -> None:
    for plugin in composition.registry.plugins:
        for warning in plugin.warnings:
            click.echo(f"warning: plugin {plugin.name!r}: {warning}", err=True)
    parts = []
    for listener, sock in zip(composition.listeners, sockets, strict=True):
        host, port = sock.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        parts.append(f"{listener.name} {'https' if listener.tls else 'http'}://{address}")
    click.echo(f"{composition.config.name} ({composition.tier.name} tier): {' · '.join(parts)}", err=True)
