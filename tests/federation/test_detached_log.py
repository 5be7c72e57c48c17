"""While no row can be written to the audit log no peer gets an answer, and a gateway's own users go on."""

from __future__ import annotations

import json
from typing import Any

import httpx

NAME = "unlogged"  # what home calls work here
MONTH = "SELECT tableoid::regclass::text FROM federation_audit_log ORDER BY at DESC LIMIT 1"
BOUND = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = $1::text::regclass"


def asked(home: Any) -> httpx.Response:
    with home.http() as client:
        return client.get(f"/v1/peers/{NAME}/tasks")


async def test_a_detached_month_shuts_out_peers_alone_until_it_is_attached(home: Any, work: Any) -> None:
    work.add("tasks", title="plant a tree")
    home.run("federation", "peer", "add", work.offer()["url"], "--name", NAME, "--yes")
    assert asked(home).status_code == 200
    async with work.database() as database:
        month = await database.fetchval(MONTH)
        bound = await database.fetchval(BOUND, month)
        await database.execute(f"ALTER TABLE federation_audit_log DETACH PARTITION {month}")
        try:
            refused = asked(home)
            with work.http() as client:
                own, ready = client.get("/v1/tasks"), client.get("/readyz")
            findings = json.loads(work.run("gateway", "doctor", "--json", code=2))["findings"]
        finally:
            await database.execute(f"ALTER TABLE federation_audit_log ATTACH PARTITION {month} {bound}")
    assert (refused.status_code, "plant" in refused.text) == (503, False)
    assert ("plant a tree" in own.text, ready.status_code) == (True, 200)
    [log] = [each for each in findings if each["probe"] == "audit log"]
    assert (log["status"], month in log["detail"], "ATTACH PARTITION" in log["remedy"]) == ("red", True, True)
    assert asked(home).status_code == 200
