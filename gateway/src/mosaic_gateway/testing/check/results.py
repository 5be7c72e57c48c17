"""A small plugin of pytest that tells a suite its subject, and writes down what becomes of each rule."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from mosaic_gateway.testing.check.checked import Checked, Outcome
from mosaic_gateway.testing.check.subject import Subject
from mosaic_hookspecs.redaction import redact

SUBJECT = pytest.StashKey[Subject]()
CANNOT = "cannot be run: "  # how the reason of a skip begins that is no choice
_LONGEST = 300  # characters of a reason
_HUNG = ("Timeout (", "no answer within")


class Results:
    """What `pytest.main` is given for one plugin."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.checked: list[Checked] = []
        self._hung: set[tuple[str, str]] = set()

    def pytest_configure(self, config: pytest.Config) -> None:
        """Have assertions tell what they compared."""
        config.stash[SUBJECT] = self.subject
        config.pluginmanager.rewrite_hook.mark_rewrite("mosaic_hookspecs.testing")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out suites without an object."""
        items[:] = [item for item in items if _place(item)[1] is not None]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """What has hung once is not waited for again."""
        if _place(item) in self._hung:
            pytest.skip("it hung before")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A rule that was called, or could not be, or left something broken."""
        report = yield
        if report.when == "call" or not report.passed:
            reason = redact(_reason(call))[:_LONGEST]
            if any(word in reason for word in _HUNG):
                self._hung.add(_place(item))
            hook, named = _place(item)
            rule, outcome = _rule(item), _outcome(report, reason)
            self.checked.append(
                Checked(self.subject.plugin, hook, named or "", rule, outcome, reason.removeprefix(CANNOT))
            )
        return report


def _place(item: pytest.Item) -> Any:
    suite: Any = getattr(item, "cls", None)
    if not hasattr(suite, "hook"):
        return "plugin", ""
    named = _given(item).get("named")
    return suite.hook, named if isinstance(named, str) else None


def _given(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _rule(item: pytest.Item) -> str:
    """``test_it_is_so[work-a]`` is ``it is so [a]``."""
    words = item.originalname.removeprefix("test_").replace("_", " ")  # type: ignore[attr-defined]
    kinds = [each for name, each in _given(item).items() if name != "named"]
    return f"{words} [{', '.join(str(each)[:40] for each in kinds)}]" if kinds else words


def _outcome(report: pytest.TestReport, reason: str) -> Outcome:
    if report.passed:
        return "passed"
    if not report.skipped:
        return "failed"
    return "not run" if reason.startswith(CANNOT) else "left out"


def _reason(call: pytest.CallInfo[None]) -> str:
    if call.excinfo is None:
        return ""
    error = call.excinfo.value
    text = str(getattr(error, "msg", None) or error).strip().partition("\n")[0]
    ours = isinstance(error, AssertionError | pytest.fail.Exception | pytest.skip.Exception)
    return text if ours and text else f"{type(error).__name__}: {text}"
