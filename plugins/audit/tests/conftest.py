"""A log in a database of its own, and a gateway's host around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from mosaic_audit.key import load_key, public
from mosaic_audit.plugin import mosaic_migrations
from mosaic_audit.settings import Settings
from mosaic_audit.stored import Stored
from mosaic_audit.verifying import Report, verify
from mosaic_audit.writer import Writer
from mosaic_gateway.database import Pool
from mosaic_gateway.metrics.counts import Counts
from mosaic_gateway.sealing import Keyring, create_keys
from mosaic_hookspecs.audit import AuditCheckpoint
from mosaic_hookspecs.testing import audit_event
from mosaic_hookspecs.types import AuditEvent, MigrationSet

EVENT = audit_event(uuid4(), 1)
TABLES = ("federation_audit_log", "federation_audit_checkpoints", "federation_audit_spans")


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return list(mosaic_migrations())


@pytest.fixture(scope="session")
def sealer(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    path: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    create_keys(path)
    return Keyring.read(path)


@pytest.fixture
def event() -> AuditEvent:
    return EVENT


@dataclass
class Log:
    """A log as tests use it."""

    host: Any
    pool: Pool

    def writer(self) -> Writer:
        """Of another process."""
        return Writer(self.host)

    async def fill(self, writer: Writer, count: int, **changes: Any) -> None:
        for number in range(count):
            await writer.record(replace(EVENT, request_id=f"r{number}", **changes))

    async def verify(self, kept: AuditCheckpoint | None = None) -> list[Report]:
        key = await load_key(self.pool, self.host.sealer)
        return await verify(Stored(self.pool), public(key) if key else None, kept)

    async def tamper(self, *statements: str) -> None:
        """As the owner of the tables can, who may switch their triggers off."""
        async with self.pool.transaction() as sql:
            for table in TABLES:
                await sql.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            for statement in statements:
                await sql.execute(statement)
            for table in TABLES:
                await sql.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL")


@pytest.fixture
def log(pool: Pool, sealer: Keyring) -> Log:
    settings = Settings()
    return Log(
        SimpleNamespace(
            database=pool,
            sealer=sealer,
            gateway_name="work",
            metrics=Counts(),
            settings=lambda _: settings,
        ),
        pool,
    )


@pytest.fixture
def writer(log: Log) -> Writer:
    return log.writer()
