import json
import os
from dataclasses import asdict
from pathlib import Path

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import AuditSink, Host
from mosaic_hookspecs.types import AuditEvent


class LineFile:
    """One JSON line per answer, on the disk before the answer leaves."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def record(self, event: AuditEvent) -> None:
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(asdict(event), default=str) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"the audit file cannot be written: {error.strerror}") from None


@hookimpl
def mosaic_audit_sinks(host: Host) -> list[AuditSink]:
    return [LineFile(host.data_dir / "answers.ndjson")]
