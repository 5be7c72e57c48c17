"""A few rows of the matrix, and that it notices what it is for. All of it is `make matrix`."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Of the checkout, where `tests.matrix` is at home."""
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_core_a_plugin_and_a_pair_keep_to_themselves() -> None:
    names = ["core", "alone audit_syslog", "pair audit + workspace"]
    done = python("-m", "tests.matrix", "--json", *(part for name in names for part in ("--only", name)))
    rows = {row["row"]: row for row in json.loads(done.stdout)}
    assert {name: row["why"] for name, row in rows.items()} == dict.fromkeys(names, ""), done.stderr
    assert done.returncode == 0
    assert rows["pair audit + workspace"]["plugins"] == ["tier_local", "audit", "workspace"]


def test_every_kind_of_row_is_there() -> None:
    names = python("-m", "tests.matrix", "--list").stdout.splitlines()
    assert len(names) == len(set(names))
    for plugin in ("federation", "valkey", "workspace"):
        assert {f"alone {plugin}", f"lowest {plugin}"} <= set(names)
    for tier in ("local", "standalone", "federated"):
        assert {f"tier {tier}", f"lowest tier {tier}"} <= set(names)
        assert {f"newest 3.{minor} tier {tier}" for minor in (11, 12, 13, 14)} <= set(names)
    assert {"core", "lowest core", "pair embedded_ca + step_ca", "pair federation + workspace"} <= set(names)


def test_what_a_row_has_no_business_with_is_named() -> None:
    done = python(
        "-c",
        textwrap.dedent("""
        import json, site, sys
        from pathlib import Path
        from tests.matrix import audit
        from tests.matrix.processes import Clock, Failed, run

        CORE = ["mosaic_gateway.cli", "mosaic_hookspecs", "mosaic_migrations"]
        SITE = Path(site.getsitepackages()[0])

        def said(check, *arguments):
            try:
                check(*arguments)
            except Failed as failure:
                return str(failure)

        print(json.dumps({
            "fine": said(audit.check_exact, [*CORE, "asyncpg", "json", "mosaic_valkey", "redis"], ["valkey"], SITE),
            "another plugin": said(audit.check_exact, [*CORE, "mosaic_valkey"], [], SITE),
            "not loaded": said(audit.check_exact, CORE, ["valkey"], SITE),
            "its library": said(audit.check_exact, [*CORE, "redis.asyncio"], [], SITE),
            "light": said(audit.check_light, ["click", "mosaic_gateway.cli", "json"]),
            "heavy": said(audit.check_light, ["click", "mosaic_gateway.cli", "quart.app", "mosaic_audit"]),
            "hangs": said(run, [sys.executable, "-c", "import time; time.sleep(600)"], {}, 0.2),
        }))
        """),
    )
    said = json.loads(done.stdout)
    assert said["fine"] is None
    assert said["light"] is None
    assert "beside its row: mosaic_valkey" in said["another plugin"]
    assert "not imported: mosaic_valkey" in said["not loaded"]
    assert "asks for it: redis" in said["its library"]
    assert said["heavy"] == "it has imported mosaic_audit, quart"
    assert "did not end in time" in said["hangs"]
