"""Take secrets out of a text before anyone sees it.

By hand: the libraries for this look for keys of known vendors, and know neither DSNs nor our own tokens.
Where a secret's end is uncertain more is taken out rather than less: a message may lose a host name, never
keep a piece of a password.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote_plus

HIDDEN = "***"
_PLACEHOLDERS = ("USER", "USER:PASSWORD")  # as messages write them to show the form

_NAMES = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|private[_-]?key|credentials?|auth)"
_IN_QUERY = re.compile(_NAMES + r"$|^(?:key|sig|signature|code|ott)$", re.IGNORECASE)

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)
#: No pattern asks for a word's boundary before it: a letter that sticks to a secret must not shield it.
#: A DSN, with unescaped blanks and quotes in its password, goes to the last @ of its line; a web address to the
#: last @ before a blank.
#: The bounds here and below keep a long hostile line from taking quadratic time.
_URL = re.compile(
    r"((?!https?:)[a-z][a-z0-9+.-]{0,30}:(?:\\*/){2})((?:[^\n]{0,2000}@)?\S*)|(https?:(?:\\*/){2})(\S+)",
    re.IGNORECASE,
)
#: One in the query of another: its end cannot be told.
_ENCODED_URL = re.compile(r"([a-z][a-z0-9+.-]{0,30}%3A(?:%2F|/){2})\S+", re.IGNORECASE)
#: What is left of a DSN without its scheme.
_USERINFO = re.compile(r"[^\s:@/'\"()<>=,]{0,256}:(?![/'\"])[^\s@]{1,256}@(?=[\w\[])")
_HEADER = re.compile(r"((?:proxy-)?authorization|(?:set-)?cookie)(\\*[\"']?\s*[:=]\s*)[^\n]+", re.IGNORECASE)
_SCHEME = re.compile(r"(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE)
#: Redis before 6 repeats what it was told, a password too.
_REPEATED = re.compile(r"(with args beginning with:)[^\n]+")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{1,500}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*")
_OURS = re.compile(r"mos_[A-Za-z0-9_-]+")
_ENROLL = re.compile(r"(/enroll/)[A-Za-z0-9_-]+")
#: As `secrets.token_urlsafe(32)` makes them: enrollment tokens have no mark of their own.
_RANDOM = re.compile(r"(?<![A-Za-z0-9_-])(?=[0-9A-Z_-]*[a-z])(?=[0-9a-z_-]*[A-Z])[A-Za-z0-9_-]{40,}")
#: key=value DSNs, JSON, the repr of objects, settings: quoted values to their end, others to the next blank.
_PAIR = re.compile(
    rf"""({_NAMES}\\*["']?\s*(?:[=:]|%3[AD])\s* | pass(?:word|wd)["']?,?\s+(?=["']))
         (?: b?'(?:[^'\\]|\\.|'')*' | b?"(?:[^"\\]|\\.)*" | b?\\*["'][^\n]* | (?:\\.|\S)+ )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def redact(text: str) -> str:
    """Return ``text`` without passwords, userinfo of URLs, tokens, PEM blocks and secrets in query strings.

    By their looks, not by their values: taking a known password out of a text that holds the same word as a
    user's name would tell what the password is.
    """
    text = _PEM.sub("[PEM removed]", text)
    text = _URL.sub(_url, text)
    text = _ENCODED_URL.sub(rf"\1{HIDDEN}", text)
    text = _USERINFO.sub(_userinfo, text)
    text = _REPEATED.sub(rf"\1 {HIDDEN}", text)
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
    text = _JWT.sub(HIDDEN, text)
    text = _OURS.sub(f"mos_{HIDDEN}", text)
    text = _ENROLL.sub(rf"\1{HIDDEN}", text)
    text = _PAIR.sub(rf"\1{HIDDEN}", text)
    return _RANDOM.sub(HIDDEN, text)


def _url(match: re.Match[str]) -> str:
    scheme, rest = match[1] or match[3], match[2] or match[4] or ""
    userinfo, at, place = rest.rpartition("@")
    if any(_is_secret(part) for part in re.split("[?&;]", userinfo)[1:]):
        return (
            scheme + HIDDEN
        )  # whether this @ ends a userinfo or stands in a password of the query is unclear
    path, *query = re.split("([?&;#])", place)
    shown = [_hide(part) for part in query]
    user = userinfo if userinfo in _PLACEHOLDERS else HIDDEN
    return scheme + (user if at else "") + at + path + "".join(shown)


def _userinfo(match: re.Match[str]) -> str:
    return match[0] if match[0][:-1] in _PLACEHOLDERS else f"{HIDDEN}@"


def _hide(part: str) -> str:
    return f"{part.partition('=')[0]}={HIDDEN}" if _is_secret(part) else part


def _is_secret(part: str) -> bool:
    name, equals, _value = part.partition("=")
    return bool(equals) and bool(_IN_QUERY.search(unquote_plus(name)))


class RedactingFilter(logging.Filter):
    """Put on a handler: whatever it writes has been through :func:`redact`, tracebacks too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; keep every one."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # a log call with wrong arguments must not break what it logs
            message = f"{record.msg} {record.args!r}"
        record.msg, record.args = redact(message), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
