"""What the suites are given: the plugin, and a gateway around it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mosaic_gateway.boot import Gateway, open_gateway
from mosaic_gateway.testing.check.results import CANNOT, SUBJECT
from mosaic_gateway.testing.check.subject import Subject, missing
from mosaic_hookspecs.errors import MosaicError


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each suite for each object that its hook is answered with."""
    if "named" in metafunc.fixturenames and metafunc.cls:
        names = metafunc.config.stash[SUBJECT].offered(metafunc.cls.hook)
        metafunc.parametrize("named", names, scope="session")


def cannot(error: MosaicError) -> None:
    """Leave the rules out for want of something."""
    pytest.skip(CANNOT + missing(error))


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Subject:
    """The plugin."""
    return request.config.stash[SUBJECT]


@pytest.fixture(scope="session")
async def gateway(subject: Subject) -> AsyncIterator[Gateway]:
    """It has started with the plugin."""
    opening = open_gateway(subject.composition, serving=True)
    try:
        gateway = await opening.__aenter__()
    except MosaicError as error:
        cannot(error)
    yield gateway
    await opening.__aexit__(None, None, None)
