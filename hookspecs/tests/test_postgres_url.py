"""A Postgres URL is read as its writer meant it, or refused without repeating any part of it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.postgres_url import parse_postgres_url

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=30
)


@given(user=TEXT, password=TEXT, database=TEXT, port=st.integers(1, 65535))
def test_percent_encoded_parts_come_back_exactly(user: str, password: str, database: str, port: int) -> None:
    parts = (quote(part, safe="") for part in (user, password, database))
    url = parse_postgres_url("postgresql://{}:{}@db.example.org:{}/{}".format(*_with_port(parts, port)))
    assert (url.user, url.password, url.database, url.port) == (user, password, database, port)
    assert url.host == "db.example.org"


def _with_port(parts: object, port: int) -> tuple[object, ...]:
    user, password, database = parts  # type: ignore[misc]
    return user, password, port, database


VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)


@given(before=VISIBLE, after=VISIBLE)
def test_a_password_that_was_not_encoded_is_never_repeated(before: str, after: str) -> None:
    secret = f"{before}zq9x{after}"
    try:
        url = parse_postgres_url(f"postgresql://gateway:{secret}@db.example.org/mosaic")
    except ConfigError as error:
        assert "zq9x" not in str(error).lower()
    else:
        assert "zq9x" not in repr(url).lower()


def test_defaults_and_ipv6() -> None:
    url = parse_postgres_url("postgres://gateway@[::1]/mosaic")
    assert (url.host, url.port, url.password, url.sslmode) == ("::1", 5432, None, None)
    assert url.location("secret").password == "secret"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "does not begin"),
        ("mysql://u@h/d", "does not begin"),
        ("postgresql://h/d", "name a user"),
        ("postgresql://u@h", "name a user and one database"),
        ("postgresql://u@h/d/e", "one database"),
        ("postgresql://u@h:no/d", "is not a URL"),
        ("postgresql://u@h1:1,h2:2/d", "is not a URL"),
        ("postgresql://u@h1,h2/d", "one host"),
        ("postgresql://u@/d", "one host"),
        ("postgresql://u@h/d?host=relative", "one host"),
        ("postgresql://u@h/d?sslmod=require", "did you mean sslmode"),
        ("postgresql://u@h/d?password=x", "unknown parameter"),
        ("postgresql://u@h/d?sslmode=maybe", "none of disable"),
        ("postgresql://u@h/d?sslrootcert=/a.pem", "need sslmode"),
        ("postgresql://u@h/d?sslmode=prefer&sslrootcert=/a.pem", "need sslmode"),
        ("postgresql://u@h/d?sslmode=require&sslcert=/a.pem", "needed together"),
        ("postgresql://u@h/d?sslmode=verify-ca&sslrootcert=a.pem", "absolute path"),
        ("postgresql://u@h/d#x", "name a user and one database"),
    ],
)
def test_each_mistake_is_told(url: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_postgres_url(url)
