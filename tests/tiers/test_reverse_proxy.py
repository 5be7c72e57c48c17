"""Behind a reverse proxy limits count the clients, and nobody else can claim to be another one."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Home

Start = Callable[..., subprocess.Popen[str]]
TRUSTED = {"MOSAIC_LISTEN__PUBLIC__TRUSTED_PROXIES": '["127.0.0.1"]'}


def status(home: Home, path: str, forwarded: str) -> int:
    """As the proxy on this machine would ask for a client who shows a wrong token."""
    headers = {"Authorization": "Bearer mos_abcdefgh_" + "x" * 43, "X-Forwarded-For": forwarded}
    try:
        with urllib.request.urlopen(urllib.request.Request(home.url + path, headers=headers), timeout=60):
            return 200
    except urllib.error.HTTPError as error:
        return error.code


def refusals(home: Home, path: str, limit: int, forwarded: str) -> set[int]:
    """What is answered until the limit is reached; some room comes back while one asks."""
    told = set()
    for n in range(2 * limit):
        answer = status(home, path, forwarded.format(n))
        if answer == 429:
            assert n >= limit
            return told
        told.add(answer)
    raise AssertionError("no limit")


def test_limits_count_the_clients_of_a_trusted_proxy(home: Home, running: Start) -> None:
    home = replace(home, environment=TRUSTED)
    running(home)
    enroll = "/federation/v1/enroll/{}".format  # a URL has a limit of its own, whoever asks
    for path, other, limit, refusal in (
        ("/v1/me", "/v1/me", 20, 401),
        (enroll("x" * 43), enroll("y" * 43), 60, 404),
    ):
        assert refusals(home, path, limit, "203.0.113.{}, 198.51.100.1") == {refusal}
        assert status(home, other, "198.51.100.2") == refusal


def test_without_the_setting_nobody_gets_a_fresh_limit_by_a_header(home: Home, running: Start) -> None:
    running(home)
    assert refusals(home, "/v1/me", 20, "198.51.100.{}") == {401}
