"""Secrets in the forms that servers, shells and programmers give them; and texts made to keep a log busy."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from mosaic_hookspecs.redaction import redact

MARK = "Zq7Wx"


@pytest.mark.parametrize(
    "text",
    [
        f"CREATE ROLE gateway LOGIN PASSWORD '{MARK}' CONNECTION LIMIT 5",
        f"ALTER ROLE gateway WITH ENCRYPTED PASSWORD '{MARK}'",
        f"PASSWORD '{MARK}''{MARK}'",
        f"password='{MARK}''{MARK} {MARK}' host=db",
        f"[('host', 'db'), ('password', '{MARK}')]",
        f'("password", "{MARK}")',
        f"unknown command `HELLO`, with args beginning with: `3` `AUTH` `default` `{MARK}` ",
        f"ERR unknown command 'AUTH', with args beginning with: '{MARK}'",
        f"/login?next={quote(f'postgresql://u:{MARK}@db/app', safe='')}",
        f"/login?next={quote(f'postgresql://u:{MARK}@db/app', safe='/')}",
        f"/login?next={quote(f'/x?password={MARK}', safe='')}",
        f'{{"url": "postgresql:\\/\\/u:{MARK}@db\\/app"}}',
        f"invalid DSN: u:{MARK}@db.example.org:5432/app",
        f"//u:{MARK}@db/app",
        f"redis.exceptions.X: :{MARK}@cache:6379",
        f"host=h1,h2 user=u password={MARK} passfile=/x",
        f"postgresql://u:{MARK}@h1:5432,h2:5433/app?passfile=/x&password={MARK}",
    ],
)
def test_a_secret_in_another_form_is_one(text: str) -> None:
    assert MARK not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "22:35:31 lead@example.org was added",
        "wrote to lead@example.org: 3 rows",
        "the password is wrong, try 'mosaic user password'",
        "token 'laptop' was revoked",
        "storage.password_file: '/run/secrets/db' cannot be read",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "unit", ["eyJ", "a:// ", "https:// ", "a://@ ", "a://x?token&", "password=' ", "a:", "a:b "]
)
def test_a_long_line_takes_no_long_time(unit: str) -> None:
    text = unit * (64_000 // len(unit))
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 0.5  # seconds; twice as long a text takes twice as long
