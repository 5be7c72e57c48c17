"""What is counted of the audit log."""

from mosaic_hookspecs.metrics import Metric

COMMIT_SECONDS = Metric(
    "mosaic_audit_commit_seconds", "histogram", "How long Postgres took to commit a batch of audit rows."
)
