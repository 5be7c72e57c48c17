"""Two running gateways and a real rsyslogd: no audit, no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.testing import audit_event


def test_while_syslog_is_away_peers_are_refused(
    new_daemon: Callable[[], Any], two_gateways: Callable[..., Any]
) -> None:
    daemon = new_daemon()
    with daemon.running():
        settings = {"address": daemon.unix}
        pair = two_gateways("audit_syslog", "workspace", resources=["tasks"], config=settings)
        pair.work.client.post("/v1/tasks", json={"title": "oats"}).raise_for_status()
        assert "oats" in pair.read("tasks").text
        [line] = [
            line for line in daemon.settled() if 'gateway="work"' in line and 'resource="tasks"' in line
        ]
        assert ('direction="answered"' in line, 'rows="1"' in line, "oats" in line) == (True, True, False)
        assert pair.work.findings()["audit_syslog"].status == "green"
    refused = pair.read("tasks")
    assert (refused.status_code, "oats" in refused.text) == (503, False), refused.text
    with pytest.raises(
        Unavailable, match="to syslog"
    ):  # home's own record would have failed, too: work's does
        pair.work.ask("audit_syslog", lambda host: host.audit().record(audit_event(UUID(pair.grant))))
    assert pair.work.findings()["audit_syslog"].status == "red"
    with daemon.running():
        assert "oats" in pair.read("tasks").text
