"""A guided tour: two gateways on this machine enroll with each other and exchange rows.

Every step runs the real `mosaic` command, shows it with what it printed, and checks it; the exit code is 1
if anything differs from what it should show. KEEP=1 leaves both gateways running at the end.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
MOSAIC = Path(sys.executable).with_name("mosaic")
COLOURS = {"work": "cyan", "home": "magenta"}
WIDTH = 116  # characters of a shown line
CAP = 5  # rows of one answer, by the grant
PATIENCE = 30.0  # seconds for one command, to start, to stop
console = Console(highlight=False, soft_wrap=True)


class Surprise(Exception):
    """A step showed something else than it should."""


@dataclass
class Gateway:
    """One of the two gateways, driven by its command line."""

    name: str
    folder: Path
    port: int
    federation_port: int
    token: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MOSAIC_")}
        return clean | {"MOSAIC_CONFIG": str(self.folder / "mosaic.config.json"), "NO_COLOR": "1"}

    def run(self, *arguments: object, code: int = 0, shows: str = "", lines: int = 8, only: str = "") -> str:
        """Run `mosaic ARGUMENTS` and check its exit code and that its output ``shows`` a pattern; return that.

        Of the output the first ``lines`` lines are shown, or those that hold ``only``.
        """
        prompt(self.name, f"mosaic {shlex.join(map(str, arguments))}")
        done = self.call(*arguments)
        show(done.stdout, lines, only)
        if done.returncode != code:
            raise Surprise(f"exit code {done.returncode}, expected {code}\n{done.stdout}")
        found(f"({shows})", done.stdout)
        return done.stdout

    def call(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MOSAIC, *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )

    def start(self) -> None:
        """Start serving in the background; its log is in the folder."""
        prompt(self.name, "mosaic gateway start &")
        with (self.folder / "gateway.log").open("wb") as log:
            self.process = subprocess.Popen(
                [MOSAIC, "gateway", "start"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tour, which then stops it in order
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                    return show((self.folder / "gateway.log").read_text(), 2)
            except OSError:
                time.sleep(0.05)
        raise Surprise(f"{self.name} did not start:\n{(self.folder / 'gateway.log').read_text()}")

    def stop(self) -> int | None:
        """Ask it to finish and stop; return its exit code, None if it was not running."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def chapter(title: str) -> None:
    console.print()
    console.rule(f"[bold]{title}", align="left", style="dim")


def say(sentence: str) -> None:
    console.print(f"\n{sentence}")


def prompt(name: str, command: str) -> None:
    console.print(Text.assemble((name, COLOURS[name]), (" $ ", "dim"), (command, "bold")))


def show(output: str, lines: int, only: str = "") -> None:
    printed = output.rstrip().splitlines()
    shown = [line for line in printed if only in line][:lines]
    for line in shown:
        cut = line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
        console.print(Text(f"  {cut.rstrip()}", style="dim"))
    if rest := len(printed) - len(shown):
        console.print(Text(f"  … {rest} more line{'s' * (rest > 1)}", style="dim"))


def free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextmanager
def two_gateways(folder: Path) -> Iterator[tuple[Gateway, Gateway]]:
    """Both gateways; stopped and removed at the end, unless all went well and KEEP is set."""
    ports = free_ports(4)
    work = Gateway("work", folder / "work", *ports[:2])
    home = Gateway("home", folder / "home", *ports[2:])
    keeping, codes = False, list[int | None]()
    try:
        yield work, home
        keeping = bool(os.environ.get("KEEP"))
    finally:
        if not keeping:
            codes = [gateway.stop() for gateway in (work, home)]
            shutil.rmtree(folder)
    if any(codes):
        raise Surprise(f"the gateways stopped with exit codes {codes}, expected 0")


def set_up(work: Gateway, home: Gateway) -> None:
    chapter("1 · Two gateways, each with a Postgres of its own")
    say("A studio runs the gateway *work*; its client runs *home*. One command makes each of them.")
    for gateway, admin in ((work, "lead"), (home, "client")):
        ports = ("--port", gateway.port, "--federation-port", gateway.federation_port)
        printed = gateway.run("gateway", "init", gateway.folder, "--admin", admin, *ports, shows="token")
        gateway.token = found(r"^token +(\S+)", printed)
    say("Both serve users on one address, and peers, over mutual TLS, on another.")
    for gateway in (work, home):
        gateway.start()
    for gateway in (work, home):
        gateway.wait_until_ready()


def bring_rows(work: Gateway) -> None:
    chapter("2 · Real files become rows")
    say("The studio has a team for the client's project. A calendar and a spreadsheet become its tasks.")
    work.run("team", "add", "relaunch", "--name", "Website relaunch", lines=3)
    work.run("team", "add-member", "relaunch", "lead", lines=2)
    files = ("docs/demo/calendar.ics", "docs/demo/tasks.csv")
    work.run("data", "import", "tasks", *files, "--user", "lead", "--team", "relaunch", shows="27 created")
    say("This project's own documentation becomes notes: the lead's personal ones, not the team's.")
    work.run("data", "import", "notes", "docs", "--user", "lead", shows=r"\d created")
    say("The same file again changes nothing: rows are known by their ids in the file.")
    work.run(
        "data", "import", "tasks", files[1], "--user", "lead", "--team", "relaunch", shows="15 unchanged"
    )


def make_grant(work: Gateway) -> tuple[str, str, str]:
    """Return the grant's id, the enrollment URL, and the id of the row that is withheld."""
    chapter("3 · A grant says what may be seen")
    say("One task is for the studio's eyes only: the project's margin. Its id:")
    exported = work.run("data", "export", "tasks", "--user", "lead", lines=2, shows="margin")
    rows = [json.loads(line) for line in exported.splitlines() if line.startswith("{")]
    margin = next(row["id"] for row in rows if row["external_id"] == "margin")
    say(
        "The lead lets *home* see the team's tasks, except that one, at most five in one answer; and no notes."
    )
    scope = ("--resource", "tasks", "--team", "relaunch", "--exclude", f"tasks/{margin}", "--max-rows", CAP)
    printed = work.run(
        "federation", "grant", "create", "--subject", "lead", "--peer", "home", *scope, lines=12
    )
    return found(r"^grant (\S+):", printed), found(r"^(http\S+/enroll/\S+)$", printed), margin


def enroll(home: Gateway, url: str) -> None:
    chapter("4 · The other side enrolls")
    say("With that URL *home* gets a certificate for a key that never leaves it, and tries the link.")
    home.run("federation", "peer", "add", url, "--name", "work", "--yes", shows="peer work is active")


def read_across(home: Gateway, work: Gateway, grant: str, margin: str) -> None:
    chapter("5 · Rows come across, and only the right ones")
    say("*home* lists and gets rows. *work* decides, at each request, and keeps them.")
    printed = home.run("federation", "list", "work", "tasks", "--sort", "title", "--json", only='"title"')
    rows, _ = json.JSONDecoder().raw_decode(printed)
    expect(len(rows) == CAP, f"{CAP} rows, the cap of the grant, but {len(rows)} came")
    home.run("federation", "get", "work", "tasks", rows[0]["id"], shows="Accessibility check", lines=14)
    say("The margin looks as if it did not exist.")
    home.run("federation", "get", "work", "tasks", margin, code=4)
    say("Why? On *work*, the lead can ask.")
    work.run("federation", "scope", "explain", grant, "tasks", margin, shows="hidden")
    say("Notes were never granted.")
    home.run("federation", "list", "work", "notes", code=4)


def take_back(work: Gateway, home: Gateway, grant: str, url: str) -> None:
    chapter("6 · Nothing lasts longer than it should")
    say("The enrollment URL was good for one use. A second one is refused: 410, gone.")
    home.run("federation", "peer", "add", url, "--name", "again", "--yes", code=4, shows="used already")
    expect(status_of(url) == 410, "HTTP 410 for the spent URL")
    say("The lead takes the grant back, and the next request is refused.")
    work.run("federation", "grant", "revoke", grant, "--reason", "the project ended", shows="is revoked")
    home.run("federation", "list", "work", "tasks", code=4, shows="revoked")


def look_back(work: Gateway) -> None:
    chapter("7 · Every answer is on record")
    say("One row for each answer that left *work*: who asked what, how it ended, how much. Never content.")
    work.run("audit", "tail", lines=14, shows="enroll")
    say("Its rows are chained by hashes: a change would show.")
    work.run("audit", "verify")


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url.partition("#")[0], timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise Surprise(f"expected to see {pattern!r} in:\n{text}")
    return match[1]


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise Surprise(f"expected {what}")


def how_to_go_on(work: Gateway, home: Gateway) -> None:
    chapter("Both are still running")
    for gateway in (work, home):
        console.print(f"\n{gateway.name}: {gateway.url}, API described at {gateway.url}/openapi.json")
        console.print(f"  export MOSAIC_CONFIG={gateway.folder}/mosaic.config.json TOKEN={gateway.token}")
        console.print(f'  curl -s "{gateway.url}/v1/tasks?limit=3" -H "Authorization: Bearer $TOKEN"')
    pids = [gateway.process.pid for gateway in (work, home) if gateway.process]
    console.print(f"\nStop: kill {' '.join(map(str, pids))}; then remove: rm -r {work.folder.parent}")


def tour() -> None:
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="mosaic-tour-"))
    with two_gateways(folder) as (work, home):
        set_up(work, home)
        bring_rows(work)
        grant, url, margin = make_grant(work)
        enroll(home, url)
        read_across(home, work, grant, margin)
        take_back(work, home, grant, url)
        look_back(work)
        if os.environ.get("KEEP"):
            how_to_go_on(work, home)
    took = time.monotonic() - began
    ending = "" if os.environ.get("KEEP") else " Both gateways are stopped and their folder is gone."
    console.print(f"\n[bold green]✓[/] Every step showed what it should, in {took:.1f} s.{ending}")


def main() -> int:
    """Run the tour. Returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stopped tour stops its gateways
    try:
        tour()
    except Surprise as surprise:
        console.print(Text(f"\n✗ This is not what the tour should show: {surprise}", style="bold red"))
        return 1
    except subprocess.TimeoutExpired as late:
        console.print(Text(f"\n✗ {late}", style="bold red"))
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; both gateways are stopped.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
