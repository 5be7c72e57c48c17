"""Write the generated pages from the code: `make docs`. With --check, exit 1 if a page is stale."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from writing import DOCS
from writing.cli import cli
from writing.config import config, config_schema
from writing.contracts import contracts
from writing.errors import error_codes
from writing.hooks import HOOKS, hooks
from writing.metrics import metrics
from writing.routes import routes
from writing.schemas import doctor_schema, peers, scope, scope_schema, troubleshooting

__all__ = ["HOOKS"]

FILES = {
    "reference/hooks.md": hooks,
    "reference/contracts.md": contracts,
    "reference/cli.md": cli,
    "reference/config.md": config,
    "reference/config.schema.json": config_schema,
    "reference/doctor.schema.json": doctor_schema,
    "reference/errors.md": error_codes,
    "reference/http.md": routes,
    "reference/metrics.md": metrics,
    "reference/scope.md": scope,
    "reference/scope.schema.json": scope_schema,
    "reference/peers.openapi.json": peers,
    "how-to/troubleshooting.md": troubleshooting,
}


def main(*, check: bool) -> int:
    """Write the pages, or print how the stored ones differ. Returns the exit code."""
    stale = 0
    for name, write in FILES.items():
        path, text = DOCS / name, write()
        stored = path.read_text() if path.exists() else ""
        if check and stored != text:
            stale = 1
            sys.stdout.writelines(
                unified_diff(stored.splitlines(True), text.splitlines(True), str(path), "the code")
            )
        elif not check:
            path.write_text(text)
    return stale


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
