"""Run what the documentation shows: every ```console block of README.md and docs/, in order, page by page.

The conventions, all of them readable by a human:

- ``$ command`` is run, ``> more`` continues it; the lines below are what it prints. ``...`` stands for any
  text within a line and, alone on a line, for any lines. With no lines shown, the output is not compared.
- A command must succeed, unless the next one is ``$ echo $?``.
- A command that ends in ``&`` runs until the page ends; the next one waits until the shown lines are there.
- A page starts in an empty folder beside a link to the checkout's ``docs``, and has one shell for all blocks.
- Ports written as ``127.0.0.1:8080`` or ``port 8080`` are replaced by free ones, the same everywhere.
- Other fences (```sh, ```text, ```json) are shown, not run.

By hand: markdown-it finds the blocks, but the runners there are (sybil, byexample, pytest-markdown-docs) have
no shell that lasts for a page and no background servers, or split a page over pytest-xdist's workers.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from free_ports import free_port
from mosaic_runs import mosaic

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PATIENCE = 120.0  # seconds for one command
_PORT = re.compile(r"(?:127\.0\.0\.1:|port[ =])(\d{4,5})")


@dataclass(frozen=True)
class Step:
    line: int
    command: str
    expected: tuple[str, ...]

    @property
    def background(self) -> bool:
        return self.command.rstrip().endswith("&")


def steps_of(page: str) -> list[Step]:
    return [
        step
        for token in MarkdownIt().parse(page)
        if token.type == "fence" and token.info.split()[:1] == ["console"] and token.map
        for step in _steps(token.content, token.map[0] + 2)
    ]


def _steps(block: str, first_line: int) -> Iterator[Step]:
    command, expected, start = "", list[str](), 0
    for number, line in enumerate([*block.splitlines(), "$ "], first_line):
        if line.startswith("$ "):
            if command:
                yield Step(start, command, tuple(expected))
            command, expected, start = line[2:], [], number
        elif f"{line} ".startswith("> ") and not expected:
            command += "\n" + line[2:]
        else:
            expected.append(line)


def pattern(expected: tuple[str, ...]) -> re.Pattern[str]:
    lines = (
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*?") + "\n"
        for line in expected
    )
    return re.compile("".join(lines) + r"\Z")


def with_free_ports(page: str) -> str:
    for port in sorted(set(_PORT.findall(page))):
        page = re.sub(rf"\b{port}\b", str(free_port()), page)
    return page


@cache
def step_ca() -> Path:
    """The program that `.ci/step-ca` built."""
    done = subprocess.run([ROOT / ".ci" / "step-ca"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


class Shell:
    """One bash for a page; each command's output goes to a file of its own."""

    def __init__(self, folder: Path, notes: Path) -> None:
        self.notes = notes
        bin_folder = Path(sys.executable).parent  # pytest, uv
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MOSAIC_")}
        environment |= {
            "PATH": f"{mosaic().parent}:{bin_folder}:{step_ca().parent}:{environment['PATH']}",
            "HOME": str(folder),
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "PYTEST_ADDOPTS": "-p no:schemathesis",  # three seconds to import, and no author of plugins has it
        }
        self.process = subprocess.Popen(
            ["bash", "--norc"], stdin=subprocess.PIPE, cwd=folder, env=environment, start_new_session=True
        )

    def run(self, number: int, step: Step) -> tuple[str, int]:
        """Return what the command printed, and its exit status."""
        output, status = self.notes / f"{number}.out", self.notes / f"{number}.status"
        assert self.process.stdin
        self.process.stdin.write(
            f"{{ {step.command}\n}} >{output} 2>&1 </dev/null; s=$?; echo $s >{status}; (exit $s)\n".encode()
        )
        self.process.stdin.flush()
        ready = pattern(step.expected)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            text = _clean(output.read_text() if output.exists() else "")
            if status.exists() and status.read_text() and (not step.background or ready.match(text)):
                return _clean(output.read_text()), int(status.read_text())
            time.sleep(0.02)
        return f"{text}(gave up after {PATIENCE:.0f} s)\n", 1

    def close(self) -> None:
        """Stop what the page left running, politely; what stays after that is killed."""
        self.process.communicate(b"kill $(jobs -p) 2>/dev/null; wait\n", timeout=PATIENCE)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _clean(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def run_page(text: str, folder: Path, notes: Path) -> list[str]:
    """Run a page's steps; return what went wrong at the first step that did, if any."""
    steps = steps_of(with_free_ports(text))
    shell = Shell(folder, notes)
    try:
        for number, step in enumerate(steps):
            printed, status = shell.run(number, step)
            may_fail = steps[number + 1 : number + 2] and steps[number + 1].command == "echo $?"
            if status and not may_fail:
                return [f"line {step.line}: exit status {status}: $ {step.command}", printed]
            if step.expected and not pattern(step.expected).match(printed):
                wanted = "\n".join(step.expected)
                return [f"line {step.line}: $ {step.command}", f"shown:\n{wanted}\n", f"printed:\n{printed}"]
        return []
    finally:
        shell.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the harness keeps outputs; its ``page`` is where a page starts."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "docs").symlink_to(ROOT / "docs")
    return tmp_path


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_shows_what_happens(page: Path, folder: Path) -> None:
    text = page.read_text()
    assert "$ curl" not in text or shutil.which("curl"), "the page uses curl: install it"
    assert not run_page(text, folder / "page", folder)


@pytest.mark.timeout(300)
def test_the_demo_runs_and_prints_what_the_readme_shows() -> None:
    done = subprocess.run(
        [sys.executable, "docs/demo/tour.py"],
        cwd=ROOT,
        env={**os.environ, "KEEP": ""},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    shown = re.search(r"make demo.*?```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown
    assert pattern(tuple(shown[1].splitlines())).match(_clean(done.stdout)), done.stdout


def test_a_page_that_shows_something_else_is_caught(folder: Path) -> None:
    page = "```console\n$ echo one; echo two\none\n...\n$ false\n$ echo $?\n1\n$ echo a b c\na ... d\n```\n"
    problem = run_page(page, folder / "page", folder)
    assert problem[0] == "line 8: $ echo a b c"


def test_a_command_that_fails_is_caught_even_where_no_output_is_shown(folder: Path) -> None:
    assert "exit status 3" in run_page("```console\n$ (exit 3)\n```\n", folder / "page", folder)[0]


def test_a_background_server_is_waited_for_and_stopped(folder: Path) -> None:
    page = (
        "```console\n$ sleep 0.2; { sleep 0.2; echo ready at 127.0.0.1:8080; exec sleep 1000; } &\n"
        "ready at ...:8080\n$ PORT=8080; echo $PORT $!\n...\n$ echo $! > pid\n```\n"
    )
    assert not run_page(page, folder / "page", folder)
    pid = int((folder / "page" / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_every_relative_link_leads_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in link.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not missing
