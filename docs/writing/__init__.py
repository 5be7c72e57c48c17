"""What the generated pages of docs/ are written by: one module a page. `make docs` runs all of them."""

from pathlib import Path

DOCS = Path(__file__).parents[1]
