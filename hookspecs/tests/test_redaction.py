"""No secret survives, whatever its letters and wherever it stands; what is no secret stays readable."""

from __future__ import annotations

import io
import json
import logging
import secrets
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_hookspecs.redaction import RedactingFilter, redact

MARK = "Zq7Wx"  # a piece of a password; not one of them may be left
PIECES = [*"@:/?#[]&='\" %\\+;é密${"]

passwords = st.lists(st.sampled_from(PIECES), min_size=0, max_size=8).map(
    lambda pieces: MARK + "".join(piece + MARK for piece in pieces)
)
schemes = st.sampled_from(
    ["postgres", "postgresql", "postgresql+asyncpg", "redis", "rediss", "valkey", "POSTGRESQL"]
)
hosts = st.sampled_from(["db", "db.example.org", "10.0.0.7", "[::1]", "[fe80::1%25eth0]", "", "a,b:6000"])
users = st.sampled_from(["gateway", "us%40er", "", "o'brien"])
around = st.sampled_from(
    [
        "{}",
        "\x1b[31m{}",
        "é{}",
        "x{}",
        "3{}",
        "_{}",
        "reach {} now",
        "'{}'",
        '{{"u": "{}"}}',
        "a\n{}\nb",
        "<{}>",
    ]
)


@given(schemes, users, passwords, hosts, around)
def test_userinfo_percent_encoded(scheme: str, user: str, password: str, host: str, text: str) -> None:
    dsn = f"{scheme}://{user}:{quote(password, safe='')}@{host}:5432/app?sslmode=require"
    shown = redact(text.format(dsn))
    assert MARK not in shown
    assert f"@{host}:5432/app?sslmode=require" in shown


@given(schemes, users, passwords, hosts, around)
def test_userinfo_as_careless_people_write_it(
    scheme: str, user: str, password: str, host: str, text: str
) -> None:
    assert MARK not in redact(text.format(f"{scheme}://{user}:{password}@{host}/app"))


@given(
    schemes, st.sampled_from(["password", "sslpassword", "PassWord", "pass%77ord"]), passwords, hosts, around
)
def test_password_in_the_query(scheme: str, name: str, password: str, host: str, text: str) -> None:
    dsn = f"{scheme}://{host}/app?user=u&{name}={quote(password, safe='@:/[]!')}&sslmode=require"
    assert MARK not in redact(text.format(dsn))


@given(
    passwords,
    st.sampled_from(["password", "sslpassword", "PGPASSWORD"]),
    st.sampled_from(["=", " = "]),
    around,
)
def test_key_value_dsn(password: str, name: str, equals: str, text: str) -> None:
    quoted = "'" + password.replace("\\", "\\\\").replace("'", "\\'") + "'"
    bare = password.replace("\\", "\\\\").replace("'", "\\'").replace(" ", "\\ ")
    for value in (quoted, bare):
        dsn = f"host=db {name}{equals}{value} dbname=app"
        if value is quoted or not value.startswith(("'", '"')):
            shown = redact(text.format(dsn))
            assert MARK not in shown
            assert "host=db" in shown


@given(passwords)
def test_json_and_reprs(password: str) -> None:
    for text in (
        json.dumps({"password": password, "host": "db"}),
        json.dumps({"outer": json.dumps({"password": password})}),
        repr({"password": password}),
        f"Location(host='db', password={password!r})",
        f"Settings(api_key={password.encode()!r})",
    ):
        assert MARK not in redact(text)


@given(st.integers(0, 2**32))
def test_tokens(_seed: int) -> None:
    secret = secrets.token_urlsafe(32)
    for text in (
        f"mos_k3jd92ma_{secret}",
        f"Authorization: Bearer {secret}",
        f"{{'Authorization': 'Bearer {secret}'}}",
        f"GET /federation/v1/enroll/{secret} 200",
        f"https://work.example/federation/v1/enroll/{secret}#ca=00",
        f"spent token {secret}.",
        f"/hook?a=1&token={secret}&b=2",
        f"https://x.example/hook?sig={secret}",
        f"eyJhbGciOiJFUzI1NiJ9.{secret}.{secret}",
        f"Cookie: session={secret}; other={secret}",
    ):
        for before in ("", "x", "é", "\x1b[31m"):
            assert secret not in redact(before + text)


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "EC PRIVATE KEY", "CERTIFICATE"])
@pytest.mark.parametrize("line", ["\n", "\\n"])
@pytest.mark.parametrize("whole", [True, False])
def test_pem_blocks_whole_or_cut_off(kind: str, line: str, whole: bool) -> None:
    end = f"-----END {kind}-----{line}after" if whole else ""
    shown = redact(f"before -----BEGIN {kind}-----{line}MIIB{MARK}{line}{MARK}=={line}{end}")
    assert MARK not in shown
    assert shown.startswith("before ")
    assert shown.endswith("after") is whole


@given(
    st.text()
    | st.lists(st.sampled_from([*PIECES, "password=", "postgres://", "@", "mos_", "\n"])).map("".join)
)
def test_any_text_can_be_redacted_and_twice_is_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "text",
    [
        'password authentication failed for user "gateway"',
        "https://work.example:8443/v1/tasks?limit=50&cursor=abc",
        "PostgreSQL 17.2, 0.8 ms",
        "storage.password_file: /run/secrets/db cannot be read",
        "grant 0b0b7d0e-5f5e-4d3e-8a77-0f0a3c0f3b11 is active",
        "sha256 " + "0a" * 32,
        "postgres://db:5432/app?sslmode=require",
        "write to admin@example.org",
        "write it like postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_the_filter_covers_arguments_tracebacks_and_broken_log_calls() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(RedactingFilter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("cannot reach %s", f"postgres://u:{MARK}@db/app")
    logger.warning("%d wrong arguments", "x", f"password={MARK}")  # noqa: PLE1205 - meant
    try:
        raise ValueError(f"postgres://u:{MARK}@db/app")
    except ValueError:
        logger.exception("failed", stack_info=True)
    text = out.getvalue()
    assert MARK not in text
    assert "postgres://***@db/app" in text
    assert "Traceback" in text
