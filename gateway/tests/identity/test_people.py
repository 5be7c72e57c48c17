"""Users, teams and memberships, as an administrator keeps them."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway.identity import Identities
from mosaic_hookspecs.errors import Conflict, Invalid, NotFound


@pytest.fixture
def identities(pool):
    return Identities(pool)


async def test_a_user_is_found_by_name_in_any_case_and_by_id(identities):
    ada = await identities.add_user("Ada", display_name="Ada L.", admin=True)
    assert (ada.role, ada.display_name, ada.disabled_at) == ("admin", "Ada L.", None)
    for key in ("Ada", "ada", "ADA", ada.id):
        user = await identities.user(key)
        assert (user.id, user.username, user.admin) == (ada.id, "Ada", True)


@pytest.mark.parametrize("name", ["nobody", "", "a\0b", "\ud800", "ädä", "x" * 10_000])
async def test_an_unknown_user_is_named_in_the_error(identities, name):
    with pytest.raises(NotFound) as caught:
        await identities.user(name)
    assert repr(name) in caught.value.detail


async def test_an_unknown_id_is_not_found(identities):
    with pytest.raises(NotFound):
        await identities.user(uuid4())


async def test_two_usernames_may_not_differ_in_case_only(identities):
    await identities.add_user("ada")
    with pytest.raises(Conflict, match="ADA"):
        await identities.add_user("ADA")
    assert [user.username for user in await identities.users()] == ["ada"]


@pytest.mark.parametrize(
    "name", ["", " ada", "ada ", ".ada", "a b", "ada\n", "ädä", "a" * 64, "a\0", "\ud800", "a/b"]
)
async def test_a_bad_username_is_refused(identities, name):
    with pytest.raises(Invalid) as caught:
        await identities.add_user(name)
    assert caught.value.faults[0].where == "username"
    assert await identities.users() == ()


@given(name=st.text(max_size=70), slug=st.text(max_size=70), shown=st.text(max_size=210))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_any_text_is_a_name_or_is_refused_with_a_reason(identities, name, slug, shown):
    for attempt in (
        identities.add_user(name),
        identities.add_team(slug),
        identities.add_user(f"u{uuid4().hex}", display_name=shown),
        identities.add_team(f"t{uuid4().hex}", shown),
    ):
        try:
            await attempt
        except (Invalid, Conflict) as error:
            assert error.remedy


async def test_a_disabled_user_is_gone_from_sight_but_listed(identities):
    await identities.add_user("ada")
    first = await identities.disable_user("ADA")
    assert (await identities.disable_user("ada")).disabled_at == first.disabled_at is not None
    with pytest.raises(NotFound):
        await identities.user("ada")
    assert [user.disabled_at for user in await identities.users()] == [first.disabled_at]
    with pytest.raises(NotFound, match="bob"):
        await identities.disable_user("bob")


async def test_members_come_go_and_change_their_role(identities):
    ada, team = await identities.add_user("ada"), await identities.add_team("core", "Core team")
    assert (await identities.add_member("core", "Ada")).username == "ada"
    assert (await identities.add_member("core", "ada", "admin")).role == "admin"
    assert [(member.team, member.username, member.role) for member in await identities.members("core")] == [
        ("core", "ada", "admin")
    ]
    [seen] = await identities.teams_of(ada.id)
    assert (seen.id, seen.slug, seen.name) == (team.id, "core", "Core team")
    await identities.remove_member("core", "ADA")
    assert await identities.teams_of(ada.id) == ()
    with pytest.raises(NotFound, match="ada"):
        await identities.remove_member("core", "ada")


async def test_unknown_names_around_teams_are_named(identities):
    await identities.add_team("core")
    await identities.add_user("ada")
    for attempt, name in (
        (identities.add_member("nope", "ada"), "nope"),
        (identities.add_member("core", "bob"), "bob"),
        (identities.remove_member("nope", "ada"), "nope"),
        (identities.members("nope"), "nope"),
    ):
        with pytest.raises(NotFound, match=name):
            await attempt
    with pytest.raises(Conflict, match="core"):
        await identities.add_team("core")
    with pytest.raises(Invalid):
        await identities.add_team("Core")
