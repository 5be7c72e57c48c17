"""URLs with a password in the wrong place, or with characters that no server takes: told, and not repeated."""

from __future__ import annotations

import pytest

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.postgres_url import parse_postgres_url

MARK = "Zq7Wx"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:12/{MARK}@db/app",
        f"postgresql://u:12?{MARK}=1@db/app",
        f"postgresql://u:12#{MARK}@db/app",
        f"postgresql://u:p@db:{MARK}/app",
        f"postgresql://u:p@[{MARK}/app",
        f"postgresql://u@db/app?password={MARK}",
        f"postgresql://u:p@db/app?passfile=/x&sslpassword={MARK}",
        f"postgresql://u:{MARK}@h1,h2:5433/app",
        f"postgresql://u:{MARK}@db/app?host=relative",
        f"postgresql://u:{MARK}@/app",
        f"host=db user=u password={MARK}",
        f"postgresql://u:{MARK}%00@db/app",
        f"postgresql://u:{MARK}%ff@db/app",
        f"postgresql://u:{MARK}\udcff@db/app",
        f"postgresql://u%00user%00postgres:{MARK}@db/app",
        f"postgresql://u:{MARK}@db/app%00",
    ],
)
def test_a_mistyped_url_is_refused_and_nothing_of_it_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url") as caught:
        parse_postgres_url(url)
    assert MARK not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("password", ["%C3%A9%20%F0%9F%A6%89", "a%25b", "%2B+"])
def test_a_good_password_is_decoded_once(password: str) -> None:
    expected = {"%C3%A9%20%F0%9F%A6%89": "é 🦉", "a%25b": "a%b", "%2B+": "++"}[password]
    assert parse_postgres_url(f"postgresql://u:{password}@db/app").password == expected
