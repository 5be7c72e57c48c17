"""``mosaic`` with an audit log that keeps nothing, to measure what keeping one costs. One worker only."""

from mosaic_audit.writer import Writer
from mosaic_gateway.cli import main
from mosaic_hookspecs.types import AuditEvent


async def _forget(_: Writer, __: AuditEvent) -> None: ...


if __name__ == "__main__":
    Writer.record = _forget  # type: ignore[method-assign]
    main()
