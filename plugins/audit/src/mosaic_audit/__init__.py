"""An append-only, hash-chained audit log, committed before an answer leaves."""
