"""Addresses that cannot be had are explained."""

from __future__ import annotations

import errno
import socket

import pytest

from mosaic_gateway.serving import bind
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Listener


def test_a_port_in_use_names_listener_address_and_remedy() -> None:
    with bind(Listener("public", "127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            bind(Listener("public", "127.0.0.1", port))
    assert f"listener 'public' cannot use 127.0.0.1:{port}: the port is in use" in str(caught.value)
    assert "`listen.public.port`" in caught.value.remedy


def test_a_plugin_listener_is_named_too() -> None:
    with bind(Listener("public", "127.0.0.1", 0)) as first, pytest.raises(ConfigError) as caught:
        bind(Listener("federation", "127.0.0.1", first.getsockname()[1]))
    assert "'federation'" in caught.value.detail
    assert "'federation'" in caught.value.remedy


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("192.0.2.1", 0, "this machine does not have that address"),
        ("no-such-host.invalid", 0, "the host name has no address"),
        ("127.0.0.1", 70000, "there is no such port"),
    ],
)
def test_addresses_that_cannot_be_are_explained(host: str, port: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        bind(Listener("public", host, port))
    assert f"{host}:{port}" in caught.value.detail
    assert caught.value.remedy


def test_a_forbidden_port_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(
        *args: object, **kwargs: object
    ) -> socket.socket:  # root may bind any port: say it in its place
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", forbid)
    with pytest.raises(ConfigError, match="permission denied") as caught:
        bind(Listener("public", "127.0.0.1", 80))
    assert "above 1023" in caught.value.remedy


def test_the_socket_listens_at_once_on_a_port_of_the_systems_choice() -> None:
    with bind(Listener("public", "127.0.0.1", 0)) as bound:
        assert bound.getsockname()[1] > 0
        assert not bound.getblocking()
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        socket.create_connection(bound.getsockname()).close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_the_ipv6_wildcard_takes_both_families() -> None:
    with bind(Listener("public", "::", 0)) as bound:
        port = bound.getsockname()[1]
        for host in ("::1", "127.0.0.1"):
            socket.create_connection((host, port)).close()
    with pytest.raises(ConfigError, match=r"\[2001:db8::1\]:80"):
        bind(Listener("public", "2001:db8::1", 80))
