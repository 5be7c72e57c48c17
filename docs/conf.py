"""The documentation as a site: `make site`. The pages are plain Markdown, to be read where they lie, too."""

import re
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

project = "Mosaic Gateway"
version = release = version_of("mosaic-gateway")
copyright = "Mosaic Gateway's authors. Apache-2.0"
extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["_build", "examples", "demo", "writing"]
nitpicky = True
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 4  # as GitHub has them
copybutton_prompt_text = r"\$ |> "  # of ```console blocks: only what is typed is copied
copybutton_prompt_is_regexp = True
pygments_style, pygments_dark_style = "friendly", "github-dark"

_SECTIONS = {
    "tutorial": "Learn",
    "how-to": "Do",
    "reference": "Look up",
    "explanation": "Understand",
}


def add_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    """Give the landing page its table of contents: the pages that it links to, in its order.

    A page that it does not link to is in no table, which Sphinx warns of, and a warning fails the build.
    """
    if page != "index":
        return
    for folder, caption in _SECTIONS.items():
        linked = dict.fromkeys(re.findall(rf"\(({folder}/[\w-]+)\.md", source[0]))
        pages = "\n".join(linked)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def name_what_is_elsewhere(app: Sphinx, page: str, source: list[str]) -> None:
    """Write a link to what is in the repository, and not in the site, as its path."""
    docs = Path(app.srcdir)

    def written(link: re.Match[str]) -> str:
        place = (docs / page).parent.joinpath(link[2]).resolve()
        is_here = place.is_file() and place.is_relative_to(docs)
        return link[0] if is_here else f"{link[1]} (`{place.relative_to(docs.parent)}`)"

    source[0] = re.sub(r"\[([^\]]+)\]\((?!https?:)([^)#\s]+)[^)]*\)", written, source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", name_what_is_elsewhere)
    app.connect("source-read", add_contents)
