"""reference/errors.md"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from mosaic_gateway.http.openapi.shapes import problem_responses
from mosaic_gateway.http.problems import REMEDIES
from mosaic_hookspecs import errors
from writing import DOCS
from writing.markdown import page, prose, table
from writing.tests import test_of

#: What is answered before a route is found, or a body is read: no error of ours is raised.
OF_HTTP = {
    405: ("method-not-allowed", "The path has other methods."),
    408: ("request-timeout", "The body took too long to come."),
    415: ("unsupported-media-type", "The body is not declared as JSON."),
}


def error_codes() -> str:
    stored = (DOCS / "reference" / "errors.md").read_text()
    parts = [
        "# Errors",
        "Over HTTP an error is a problem document (RFC 9457) whose `type` is `urn:mosaic:problem:` and the code; on "
        "the command line it is one sentence on standard error, what to do about it, and the exit code. The answer "
        "itself says in `detail` and `remedy` what was wrong this time, and in `errors` where.",
        table(
            ["code", "HTTP", "exit", "title"],
            [[f"[`{c.code}`](#{c.code})", str(c.status), str(c.exit_code), c.title] for c in ours()]
            + [
                [f"[`{code}`](#{code})", str(status), "", titled(code)]
                for status, (code, _) in OF_HTTP.items()
            ],
        ),
    ]
    for each in ours():
        cause, _, todo = prose(each).partition("\n\nTo do: ")
        parts += entry(each.code, cause, todo, stored)
    for status, (code, cause) in OF_HTTP.items():
        parts += entry(code, cause, REMEDIES.get(status, "send the request again, at once"), stored)
    return page(parts)


def entry(code: str, cause: str, todo: str, stored: str) -> list[str]:
    return [
        f"## {code}",
        f"**When**: {cause}",
        f"**What to do**: {todo}",
        f"Covered by `{shown_by(code, stored)}`.",
    ]


def shown_by(code: str, stored: str = "") -> str:
    """The test that sees an answer with a code, by the code or by the class that has it."""
    names = "|".join(each.__name__ for each in ours() if each.code == code and each.code != "internal-error")
    return test_of(
        rf'problem:{code}\b|"{code}"' + (rf"|raises\((?:{names})\b" if names else ""), stored=stored
    )


def titled(code: str) -> str:
    return code.replace("-", " ").capitalize()


def ours() -> Iterator[type[errors.MosaicError]]:
    for each in vars(errors).values():
        if inspect.isclass(each) and issubclass(each, errors.MosaicError):
            yield each


def codes_of_http() -> set[str]:
    """Codes that the documents of the listeners name, and that no error of ours has."""
    said = re.findall(r"urn:mosaic:problem:([a-z-]+)", str(problem_responses()))
    return set(said) - {each.code for each in ours()}
