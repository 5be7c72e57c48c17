"""API tokens: shown once, stored hashed, and refused without telling more than the holder knows."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from mosaic_gateway.identity import Identities
from mosaic_hookspecs.errors import Invalid, NotFound, Unauthenticated


@pytest.fixture
async def identities(pool):
    identities = Identities(pool)
    await identities.add_user("ada", admin=True)
    return identities


async def test_a_token_authenticates_its_user(identities):
    made = await identities.create_token("Ada", name="laptop", expires_in=timedelta(days=1))
    assert re.fullmatch(r"mos_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", made.secret)
    assert made.secret.split("_")[1] == made.prefix
    user = await identities.authenticate(made.secret)
    assert (user.username, user.admin) == ("ada", True)


async def test_the_secret_is_in_no_table_and_in_no_repr(identities, pool):
    made = await identities.create_token("ada", name="laptop", expires_in=None)
    secret = made.secret.split("_", 2)[2]
    assert secret not in repr(made)
    [stored] = await pool.fetch("SELECT t::text AS row, hash FROM api_tokens t")
    assert secret not in stored["row"]
    assert secret.encode() not in stored["hash"]


@pytest.mark.parametrize("spoil", [
    lambda t: t[:-1] + ("A" if t[-1] != "A" else "B"),  # wrong secret
    lambda t: "mos_aaaaaaaa" + t[12:],  # unknown prefix
    lambda t: t[:-1], lambda t: t + "A", lambda t: t + "\n", lambda t: " " + t, lambda t: t.upper(),
    lambda _: "", lambda _: "mos__", lambda _: "\0", lambda _: "\ud800", lambda t: t[:20] + "ä" + t[21:],
])  # fmt: skip
async def test_wrong_unknown_and_broken_tokens_all_look_the_same(identities, spoil):
    made = await identities.create_token("ada", name="laptop", expires_in=None)
    with pytest.raises(Unauthenticated) as caught:
        await identities.authenticate(spoil(made.secret))
    assert caught.value.detail == "The API token is not valid."


@pytest.mark.parametrize("state", ["revoked", "expired", "disabled"])
async def test_only_who_holds_the_secret_learns_why_a_token_ended(identities, pool, state):
    made = await identities.create_token("ada", name="laptop", expires_in=timedelta(hours=1))
    if state == "revoked":
        assert (await identities.revoke_token(made.prefix)).revoked_at
    elif state == "expired":
        await pool.execute(
            "UPDATE api_tokens SET created_at = now() - interval '2 hours', expires_at = now()"
        )
    else:
        await identities.disable_user("ada")
    with pytest.raises(Unauthenticated, match=state):
        await identities.authenticate(made.secret)
    wrong = made.secret[:-1] + ("A" if made.secret[-1] != "A" else "B")
    with pytest.raises(Unauthenticated, match="not valid"):
        await identities.authenticate(wrong)


async def test_last_use_is_written_at_most_once_a_minute(identities, pool):
    made = await identities.create_token("ada", name="laptop", expires_in=None)

    async def last_used():
        return (await identities.tokens("ada"))[0].last_used_at

    assert await last_used() is None
    await identities.authenticate(made.secret)
    first = await last_used()
    await identities.authenticate(made.secret)
    assert await last_used() == first is not None
    await pool.execute("UPDATE api_tokens SET last_used_at = now() - interval '61 seconds'")
    await identities.authenticate(made.secret)
    assert await last_used() > first


async def test_tokens_are_listed_by_user_or_all(identities):
    await identities.add_user("bob")
    hers = await identities.create_token("ada", name="laptop", expires_in=None)
    his = await identities.create_token("bob", name="phone", expires_in=None)
    assert [token.prefix for token in await identities.tokens()] == [hers.prefix, his.prefix]
    assert [(token.name, token.username) for token in await identities.tokens("bob")] == [("phone", "bob")]


async def test_what_does_not_exist_or_fit_is_named(identities):
    with pytest.raises(NotFound, match="bob"):
        await identities.create_token("bob", name="x", expires_in=None)
    with pytest.raises(NotFound, match="zzzzzzzz"):
        await identities.revoke_token("zzzzzzzz")
    with pytest.raises(NotFound):
        await identities.tokens("bob")
    for life in (timedelta(0), timedelta(days=-1), timedelta.max):
        with pytest.raises(Invalid, match="life"):
            await identities.create_token("ada", name="x", expires_in=life)
    for name in ("", "  ", "a\nb", "x" * 201):
        with pytest.raises(Invalid, match="token name"):
            await identities.create_token("ada", name=name, expires_in=None)
