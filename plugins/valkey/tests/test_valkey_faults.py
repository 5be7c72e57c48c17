"""What goes wrong with a server: outages, kills, and every refusal told apart, never with a secret in it."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mosaic_gateway.metrics.counts import Counts
from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.testing.caches import Source
from mosaic_hookspecs.testing.queues import Seen, until
from mosaic_hookspecs.types import Finding, QueueTarget, Rate
from mosaic_valkey.cache import ValkeyCache
from mosaic_valkey.limiter import ValkeyLimiter
from mosaic_valkey.line import Line
from mosaic_valkey.probe import valkey_probe
from mosaic_valkey.queue import BullMQQueue
from mosaic_valkey.server import server_of
from mosaic_valkey.settings import Settings

SECRET = "hunter2-s3cret"
NewRedis = Callable[..., Any]
SLOW = Rate("slow", limit=3, period=60)


def host_at(url: str | None, *, password_file: Path | None = None, **options: Any) -> Any:
    target, settings = QueueTarget("bullmq", url, password_file), Settings(**{"prefix": "test", **options})
    return SimpleNamespace(
        gateway_name="home", metrics=Counts(), queue_target=target, settings=lambda _: settings
    )


async def found(host: Any) -> Finding:
    """What the doctor would show: a refusal to connect becomes a red finding there."""
    try:
        finding = await valkey_probe(host).check()
    except Unavailable as error:
        finding = Finding("red", error.detail, error.remedy)
    assert SECRET not in f"{finding.detail}{finding.remedy}"
    return finding


class TestProbe:
    async def test_a_healthy_server_is_green_with_its_version(self, host: Any) -> None:
        finding = await found(host)
        assert (finding.status, " ms" in finding.detail) == ("green", True)

    async def test_unknown_host(self) -> None:
        finding = await found(host_at(f"redis://:{SECRET}@no-such-host.invalid:6379/0"))
        assert "host name is unknown" in finding.detail

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    async def test_nothing_listens(self, new_redis: NewRedis, name: str) -> None:
        server = new_redis()
        finding = await found(host_at(f"redis://:{SECRET}@{name}:{server.port}/0"))
        assert "refuses connections" in finding.detail

    async def test_a_server_that_says_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mosaic_valkey.wire.PATIENCE", 0.2)
        async with speaking(lambda _: b"") as port:
            finding = await found(host_at(f"redis://127.0.0.1:{port}/0"))
        assert "does not answer" in finding.detail

    async def test_wrong_and_missing_passwords(self, new_redis: NewRedis, tmp_path: Path) -> None:
        server = new_redis("--requirepass", SECRET)
        wrong, right = tmp_path / "wrong", tmp_path / "right"
        wrong.write_text(f"not-{SECRET}\n")
        right.write_text(f"{SECRET}\n")
        with server.running():
            assert "wants a password" in (await found(host_at(server.url))).detail
            refused = await found(host_at(server.url, password_file=wrong))
            assert "refuses the user or the password" in refused.detail
            assert (await found(host_at(server.url, password_file=right))).status == "green"
            url = server.url.replace("redis://", f"redis://:{SECRET}@")
            assert (await found(host_at(url))).status == "green"

    async def test_a_read_only_replica(self, new_redis: NewRedis) -> None:
        primary = new_redis()
        replica = new_redis("--replicaof", "127.0.0.1", str(primary.port))
        with primary.running(), replica.running():
            finding = await found(host_at(replica.url))
            assert (finding.status, "read-only replica" in finding.detail) == ("red", True)
            async with opened(ValkeyLimiter, host_at(replica.url)) as limiter:
                with pytest.raises(Unavailable, match="read-only replica"):
                    await limiter.take("a", SLOW)

    async def test_a_server_that_is_still_loading(self, new_redis: NewRedis, tmp_path: Path) -> None:
        slowly = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
        server = new_redis("--dir", str(tmp_path), *slowly)
        with server.running():
            await fill(server.url, 3000)
        with server.running():
            finding = await found(host_at(server.url))
            assert (finding.status, "loading" in finding.detail) == ("red", True), finding.detail

    async def test_a_server_that_may_throw_jobs_away_is_yellow(self, new_redis: NewRedis) -> None:
        server = new_redis("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
        with server.running():
            finding = await found(host_at(server.url))
        assert (finding.status, "allkeys-lru" in finding.detail) == ("yellow", True)

    async def test_a_server_that_is_too_old(self) -> None:
        info = b"# Server\r\nredis_version:6.0.16\r\nrole:master\r\nloading:0\r\nmaxmemory:0\r\n"
        replies = {b"HELLO": b"%0\r\n", b"SELECT": b"+OK\r\n", b"INFO": b"$%d\r\n%s\r\n" % (len(info), info)}

        def old(command: bytes) -> bytes:
            return b"".join(reply for word, reply in replies.items() if word in command)

        async with speaking(old) as port:
            finding = await found(host_at(f"redis://127.0.0.1:{port}/0"))
        assert (finding.status, "6.0.16: too old" in finding.detail) == ("red", True)
        async with speaking(lambda _: b"-ERR unknown command `HELLO`\r\n") as port:
            assert "too old" in (await found(host_at(f"redis://127.0.0.1:{port}/0"))).detail

    async def test_tls(self, new_redis: NewRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        certificate, key = certificate_for("127.0.0.1", tmp_path)
        files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no")
        plain = new_redis()
        secure = new_redis("--tls-ca-cert-file", str(certificate), *files)
        options = ("--tls-port", str(secure.port), "--port", "0")
        with plain.running(), type(secure)(secure.port, (*secure.options, *options)).running():
            url = f"rediss://:{SECRET}@127.0.0.1:{secure.port}/0"
            assert "not trusted" in (await found(host_at(url))).detail
            assert (await found(host_at(url, ca_file=certificate))).status == "green"
            unsecured = await found(host_at(f"redis://127.0.0.1:{secure.port}/0"))
            assert "rediss://" in unsecured.remedy
            with monkeypatch.context() as impatient:
                impatient.setattr("mosaic_valkey.wire.PATIENCE", 0.5)
                unasked = await found(host_at(f"rediss://127.0.0.1:{plain.port}/0"))
            assert "does not speak TLS" in unasked.detail
            async with opened(BullMQQueue, host_at(url, ca_file=certificate)) as queue:
                assert await queue.failed() == []

    @pytest.mark.parametrize(
        "url",
        [None, f"{SECRET}", f"http://:{SECRET}@h", f"redis://:{SECRET}@h:port/0", f"redis://h?{SECRET}=1"],
    )
    async def test_a_url_that_is_none_is_refused_without_being_repeated(self, url: str | None) -> None:
        with pytest.raises(ConfigError, match=r"queue\.url") as refused:
            server_of(host_at(url))
        if url and "?" not in url:
            assert SECRET not in str(refused.value)

    def test_a_server_does_not_show_its_password(self) -> None:
        server = server_of(host_at(f"redis://me:{SECRET}@h:1/0"))
        assert SECRET not in repr(server)
        assert server.password == SECRET


class TestOutage:
    async def test_cache_and_pubsub_come_back_and_say_that_they_were_away(self, new_redis: NewRedis) -> None:
        server, source = new_redis(), Source()
        async with opened(ValkeyCache, host_at(server.url)) as cache, cache.subscribe("news") as heard:
            with server.running():
                await until(lambda: cache._line.wire)
                await cache.get("a", source.load, ttl=60)
            source.value = b"two"
            assert await asyncio.wait_for(anext(heard), 30) is None
            assert await cache.get("a", source.load, ttl=60) == b"two", "an outage only means to load"
            with pytest.raises(Unavailable):
                await cache.forget("a")
            with server.running():
                await until(lambda: cache._line.wire)
                await cache.publish("news", "back")
                while (message := await asyncio.wait_for(anext(heard), 30)) is None:
                    pass
                assert message == "back"

    async def test_a_server_that_falls_silent_is_noticed(
        self, new_redis: NewRedis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Stopped, not killed: the connection stays open and says nothing, as behind a broken firewall."""
        monkeypatch.setattr("mosaic_valkey.wire.PATIENCE", 0.5)
        monkeypatch.setattr("mosaic_valkey.line._BEAT", 0.2)
        server, source = new_redis(), Source()
        with server.running() as process:
            async with opened(ValkeyCache, host_at(server.url)) as cache:
                await cache.get("a", source.load, ttl=60)
                process.send_signal(19)
                source.value = b"two"
                await until(lambda: cache._line.wire is None)
                assert await cache.get("a", source.load, ttl=60) == b"two"
                process.send_signal(18)

    async def test_a_limiter_survives_the_loss_of_its_script(self, new_redis: NewRedis) -> None:
        server = new_redis()
        with server.running():
            async with opened(ValkeyLimiter, host_at(server.url)) as limiter:
                assert (await limiter.take("a", SLOW)).remaining == 2
                await limiter._line.ask("SCRIPT", "FLUSH")
                assert (await limiter.take("a", SLOW)).remaining == 1

    async def test_without_a_server_everything_that_must_know_says_so_quickly(
        self, new_redis: NewRedis
    ) -> None:
        host = host_at(new_redis().url)
        start = monotonic()
        async with opened(ValkeyLimiter, host) as limiter, opened(BullMQQueue, host) as queue:
            with pytest.raises(Unavailable, match="refuses connections"):
                await limiter.take("a", SLOW)
            with pytest.raises(Unavailable, match="refuses connections"):
                await queue.enqueue(Seen().job())
        assert monotonic() - start < 20

    async def test_a_worker_goes_on_after_an_outage(self, new_redis: NewRedis, tmp_path: Path) -> None:
        server, seen = new_redis("--dir", str(tmp_path), "--appendonly", "yes"), Seen()
        job, host = seen.job(), host_at(server.url)
        async with AsyncExitStack() as stack:
            with server.running():
                queue = await stack.enter_async_context(opened(BullMQQueue, host))
                working = await stack.enter_async_context(opened(BullMQQueue, host))
                await stack.enter_async_context(working.work([job]))
                await queue.enqueue(job, {"n": 1})
                await until(lambda: len(seen) == 1)
                await until(lambda: nothing_active(queue))  # the server knows that it is done
            await asyncio.sleep(0.5)
            with server.running():
                await queue.enqueue(job, {"n": 2})
                await until(lambda: len(seen) == 2)
                await until(lambda: nothing_active(queue))  # a stop waits for jobs under way
            start = monotonic()
        assert monotonic() - start < 9, "a stop does not wait for a server that is away"


async def nothing_active(queue: BullMQQueue) -> bool:
    return not await queue._queue.getJobCountByTypes("active")


async def test_a_job_survives_kill_9_of_its_worker(redis_server: Any) -> None:
    host = host_at(redis_server.url, prefix=f"test:kill:{os.getpid()}", lost_after=1)
    program = textwrap.dedent(f"""
        import asyncio, os, signal
        from types import SimpleNamespace
        from mosaic_gateway.metrics.counts import Counts
        from mosaic_hookspecs.types import Job, QueueTarget
        from mosaic_valkey.queue import BullMQQueue
        from mosaic_valkey.settings import Settings
        settings = Settings(prefix={host.settings(None).prefix!r}, lost_after=1)
        target = QueueTarget("bullmq", {redis_server.url!r})
        host = SimpleNamespace(gateway_name="home", metrics=Counts(), queue_target=target, settings=lambda _: settings)
        async def run(data):
            os.kill(os.getpid(), signal.SIGKILL)
        async def main():
            queue = BullMQQueue(host)
            async with queue.open(), queue.work([Job("contract.note", run)]):
                await asyncio.sleep(30)
        asyncio.run(main())
    """)
    seen = Seen()
    job = seen.job()
    async with opened(BullMQQueue, host) as queue:
        await queue.enqueue(job, {"n": 1})
        died = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program])
        assert died.returncode == -9
        async with queue.work([job]):
            await until(lambda: seen)
    assert seen == [{"n": 1}]


@asynccontextmanager
async def opened(kind: Callable[[Any], Any], host: Any) -> AsyncIterator[Any]:
    thing = kind(host)
    async with thing.open():
        yield thing


@asynccontextmanager
async def speaking(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """A server of another make: what it says to each piece it reads."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(answer(data))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def fill(url: str, keys: int) -> None:
    """Save so many keys that loading them, slowed down, takes a while."""
    line = Line(lambda: server_of(host_at(url)))
    async with line.open():
        await asyncio.gather(*(line.ask("SET", f"key:{number}", "x") for number in range(keys)))
        await line.ask("SAVE")


def certificate_for(address: str, directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key, PEM."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]),
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    assert ssl.create_default_context(cafile=paths[0])
    return paths
