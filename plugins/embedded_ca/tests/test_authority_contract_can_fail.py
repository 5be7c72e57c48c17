"""Each rule of the contract that matters fails for an authority that breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from inspect import signature
from types import SimpleNamespace
from typing import Any

import pytest

from mosaic_embedded_ca.authority import EmbeddedCA
from mosaic_embedded_ca.plugin import mosaic_migrations
from mosaic_gateway.database import Pool
from mosaic_gateway.sealing import Keyring, Keys
from mosaic_hookspecs.errors import Invalid
from mosaic_hookspecs.testing import AuthorityContract
from mosaic_hookspecs.testing.authorities import request
from mosaic_hookspecs.types import IssuedCertificate, MigrationSet


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return list(mosaic_migrations())


class Rooted(EmbeddedCA):
    async def issue_client(self, csr: bytes, **facts: Any) -> IssuedCertificate:
        issued = await super().issue_client(csr, **facts)
        return replace(issued, chain=issued.chain + await self.root())


class Swapped(EmbeddedCA):
    async def issue_client(self, csr: bytes, **facts: Any) -> IssuedCertificate:
        swapped = {"grant_id": facts["subject_id"], "subject_id": facts["grant_id"]}
        return await super().issue_client(csr, **{**facts, **swapped})


class OneKind(EmbeddedCA):
    async def issue_client(self, csr: bytes, **facts: Any) -> IssuedCertificate:
        return await self.issue_server(csr, names=["work.example"])


class Obliging(EmbeddedCA):
    """What it should refuse it signs for another key."""

    async def issue_client(self, csr: bytes, **facts: Any) -> IssuedCertificate:
        with suppress(Invalid):
            return await super().issue_client(csr, **facts)
        return await super().issue_client(request(), **facts)

    async def issue_server(self, csr: bytes, *, names: Sequence[str]) -> IssuedCertificate:
        with suppress(Invalid):
            return await super().issue_server(csr, names=names)
        return await super().issue_server(request(), names=["work.example"])


class Patient(EmbeddedCA):
    async def issue_client(self, csr: bytes, **facts: Any) -> IssuedCertificate:
        late = datetime.now(UTC) + timedelta(hours=1)
        return await super().issue_client(csr, **{**facts, "not_after": late})


CASES: dict[str, tuple[type[EmbeddedCA], ...]] = {
    "test_the_chain_verifies_to_the_root": (Rooted,),
    "test_the_names_are_the_two_ids_and_nothing_else": (Swapped, OneKind),
    "test_it_may_authenticate_a_client_and_nothing_else": (OneKind,),
    "test_another_key_is_refused": (Obliging,),
    "test_a_request_that_proves_nothing_is_refused": (Obliging,),
    "test_it_ends_when_asked_or_sooner": (Patient,),
    "test_what_is_no_name_is_refused": (Obliging,),
}
GIVEN = {"arc": "1.3.6.1.4.1.99999", "kind": "rsa2048", "csr": b"\0", "names": ["*.example"]}


@pytest.mark.parametrize(
    ("rule", "kind"),
    [(rule, kind) for rule, kinds in CASES.items() for kind in kinds],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
async def test_a_bad_authority_is_found(pool: Pool, rule: str, kind: type[EmbeddedCA]) -> None:
    host: Any = SimpleNamespace(
        tier=SimpleNamespace(name="local"),
        database=pool,
        sealer=Keyring(Keys("k1", {"k1": b"s" * 32})),
        settings=lambda model: model(),
    )
    method = getattr(AuthorityContract(), rule)
    given = {"authority": kind(host), **GIVEN}
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        await method(**{name: given[name] for name in signature(method).parameters})
