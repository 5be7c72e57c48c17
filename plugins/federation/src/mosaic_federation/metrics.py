"""What is counted of peers, all of them together: there may be ten thousand."""

from mosaic_hookspecs.metrics import Metric

ANSWERS = Metric(
    "mosaic_peer_answers",
    "counter",
    "Requests of peers, by outcome: ok, or the code of the refusal.",
    ("outcome",),
)
ROWS = Metric("mosaic_peer_rows", "counter", "Rows that left for peers.")
BYTES = Metric("mosaic_peer_bytes", "counter", "Bytes that left for peers.")
READS = Metric(
    "mosaic_peer_reads",
    "counter",
    "Reads from peers, by where the answer came from: peer; cache; stale, kept of a peer that is away.",
    ("answered_from",),
)
LISTENER_CERTIFICATE = Metric(
    "mosaic_listener_certificate_left_seconds",
    "gauge",
    "Until the certificate of the listener for peers ends.",
    across="min",
)
