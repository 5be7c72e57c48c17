"""The site is built without a warning, its links lead somewhere, and its search finds what is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
SECTIONS = ("tutorial", "how-to", "reference", "explanation")


class Page(HTMLParser):
    """What a page has that can be pointed to, and where it points."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = {""}
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.names.add(found.get("id", ""))
        self.links |= {found[name] for name in ("href", "src") if name in found}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make site` builds it: a warning is an error, be it a page in no table of contents."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run([*command, "docs", out], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert len(pages) > 20
    assert list(_broken(site, pages)) == []


def _broken(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue  # elsewhere
            target, _, name = unquote(link).partition("#")
            place = (path.parent / target.partition("?")[0]).resolve() if target else path
            if not place.exists() or (name and place in pages and name not in pages[place].names):
                yield f"{path.relative_to(site)}: {link}"


def test_the_landing_page_leads_to_every_page() -> None:
    linked = set(re.findall(r"\(([\w/-]+\.md)", (ROOT / "docs" / "index.md").read_text()))
    assert linked == {
        f"{each}/{path.name}" for each in SECTIONS for path in (ROOT / "docs" / each).glob("*.md")
    }


def test_the_search_finds_a_grant(site: Path) -> None:
    text = (site / "searchindex.js").read_text()
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    found = [index[where].get("grant", []) for where in ("terms", "titleterms")]
    numbers = {number for each in found for number in ([each] if isinstance(each, int) else each)}
    assert {"explanation/how-rows-are-shared", "reference/cli"} <= {
        index["docnames"][each] for each in numbers
    }


def test_commands_can_be_copied_without_their_prompts(site: Path, pages: dict[Path, Page]) -> None:
    links = pages[site / "index.html"].links
    assert any("copybutton.js" in link for link in links)
    (settings,) = (site / "_static").glob("copybutton.js")
    assert r"\\$ |> " in settings.read_text()
