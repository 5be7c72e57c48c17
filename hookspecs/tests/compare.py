"""Compare two descriptions that describe.py made: what does somebody who built on the older one miss?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Description = dict[str, Any]

#: What plugins implement: a host that asks more of it than a release did, refuses what was built for that release.
OFFERED = {
    "AuditLog", "AuditSink", "Cache", "CertificateAuthority", "Discovery", "Embedder", "Limiter", "PeerPolicy",
    "PubSub", "Queue", "Source", "Sources", "Storage",
}  # fmt: skip

#: The exceptions, each told on the policy page: what a later release asks of plugins and an earlier one did not.
ASKED_SINCE = {"protocols.Limiter.take_all"}


def broken(old: Description, new: Description) -> list[str]:
    """What somebody who built on ``old`` misses in ``new``."""
    return [*_hooks(old, new), *_modules(old["modules"], new["modules"])]


def _hooks(old: Description, new: Description) -> Iterator[str]:
    for name, was in old["hooks"].items():
        now = new["hooks"].get(name)
        if now is None:
            if not due(was["retired"], new["release"]):
                yield f"hook {name} is gone"
            continue
        kept = [
            each
            for each in was["arguments"]
            if each in now["arguments"] or not due(was["retired arguments"].get(each, ""), new["release"])
        ]
        if now["arguments"][: len(kept)] != kept:
            yield f"hook {name}: its arguments were {was['arguments']}"
        yield from (
            f"hook {name}: {key} was {was[key]}" for key in ("async", "firstresult") if was[key] != now[key]
        )


def due(retired: str, release: str) -> bool:
    """Whether a hook said that it goes away in this release or an earlier one."""
    goes = [word.rstrip(":,.;") for word in retired.split() if word[:1].isdigit()]
    return any(_number(each) <= _number(release) for each in goes)


def _number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")[:2]))


def _modules(old: Description, new: Description) -> Iterator[str]:
    for module, names in old.items():
        for name, was in names.items():
            where, now = f"{module}.{name}", new.get(module, {}).get(name)
            if now is None or now["kind"] != was["kind"]:
                yield f"{where} is gone"
            else:
                yield from _thing(where, was, now, offered=name in OFFERED)


def _thing(where: str, was: Description, now: Description, *, offered: bool) -> Iterator[str]:
    if gone := set(was.get("values", ())) - set(now.get("values", ())):
        yield f"{where}: values {sorted(gone)} are gone"
    if "fields" in was:
        yield from _fields(where, was["fields"], now["fields"])
    if not _callable_as_before(was.get("parameters", []), now.get("parameters", []), more=True):
        yield f"{where}: its parameters were {was['parameters']}"
    yield from (
        f"{where}: {key} was {was[key]}"
        for key in ("code", "status", "exit_code")
        if was.get(key) != now.get(key)
    )
    members, present = was.get("members", {}), now.get("members", {})
    for name, member in members.items():
        if name not in present:
            yield f"{where}.{name} is gone"
        elif "attribute" in (member, present[name]):
            if member != present[name]:
                yield f"{where}.{name} was {member}"
        elif not _callable_as_before(member, present[name], more=not offered):
            yield f"{where}.{name}: its parameters were {member}"
    if offered:
        asked = {f"{where}.{name}" for name in present.keys() - members.keys()}
        yield from (f"{name} is asked for" for name in sorted(asked - ASKED_SINCE))


def _fields(where: str, was: dict[str, bool], now: dict[str, bool]) -> Iterator[str]:
    if list(now)[: len(was)] != list(was):
        yield f"{where}: its fields were {list(was)}"
    yield from (f"{where}.{name} must be given" for name, must in now.items() if must and not was.get(name))


def _callable_as_before(was: list[str], now: list[str], *, more: bool) -> bool:
    """Whether a call of before still is one; ``more`` parameters may have come, but none that must be given.

    Those given by name may stand in any order.
    """
    places = [each for each in was if each[0] != "*"]
    named = {each for each in was if each[0] == "*"}
    rest = [each for each in now[len(places) :] if each not in named]
    first = [(each, each.rstrip("=") + "=") for each in places]
    return (
        len(now) >= len(was)
        and all(each in may for each, may in zip(now, first, strict=False))
        and all(each in now or f"{each}=" in now for each in named)
        and all(more and each.endswith(("=", "...")) for each in rest)
    )
