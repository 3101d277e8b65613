"""Secrets out of what is said: the one function for every line and every error that is told."""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote, urlsplit, urlunsplit

HIDDEN = "***"
# What is shorter cannot be told from a word of the text.
SHORTEST = 8
# Variables of the environment whose value is a secret; a path to one is none.
_NAMES = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|ACCESS_KEY|API_?KEY|CREDENTIAL|WEBHOOK", re.IGNORECASE
)
_PLACES = re.compile(r"_(FILE|PATH|DIR|URI)$", re.IGNORECASE)
# user:password@ of a URL; the user alone may be a token.
_USER = re.compile(r"(?<=://)[^\s/?#'\"<>]+@")
# A password with / ? or # in it, which a URL may hold as %2F alone: to Python and git it is a port
# and a path, to SQLAlchemy and to whoever wrote it a password. Where it begins as a port may, it is
# one of a database's URL, in which SQLAlchemy takes all before an @ for the password; elsewhere
# nothing tells http://user:1234/5@host from http://host:1234/path@home, which is shown.
_MISREAD = re.compile(
    r"(?:(?P<database>\b(?:postgres(?:ql)?|mysql|mariadb|mssql|oracle)(?:\+\w{1,32})?://)|(?<=://))"
    # Bounded: a long text without a space would be gone through again for each of its URLs.
    r"(?P<user>[^\s/?#@:\['\"<>]{0,256}):"
    r"(?(database)|(?!(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-5]\d{3})[/?#]))"
    r"(?P<password>[^\s/?#@'\"<>]{0,1024}[/?#][^\s'\"<>]{0,1024})@"
)
# The same of a URL alone, whose password may hold any character.
_ADDRESS_USER = re.compile(r"(?<=://)[^/?#]*@")
_QUERY = re.compile(
    r"([?&;][\w.-]*(?:password|secret|token|signature|sig|credential|api_?key)=)[^\s&;#'\"<>]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:\w+ )?)[^\s'\",]+", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with ``***`` in place of every secret that can be known.

    These are what a URL holds as user, password, token or signature, and the values of the
    environment's variables that are named as secrets are (`MLFLOW_TRACKING_PASSWORD`,
    `AWS_SECRET_ACCESS_KEY`, `..._TOKEN`, `..._WEBHOOK` and the like), wherever they stand.
    """
    for secret in _secrets(tuple(sorted(os.environ.items()))):
        text = text.replace(secret, HIDDEN)
    return redact_urls(text)


def redact_urls(text: str) -> str:
    """The text with ``***`` in place of what its URLs hold as user, password, token, signature."""
    text = _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(f"{HIDDEN}@", drop_misread_passwords(text)))
    return _HEADER.sub(rf"\1{HIDDEN}", text)


def drop_misread_passwords(text: str) -> str:
    """The text without the passwords of its URLs that are taken for a port and a path."""
    return _MISREAD.sub(r"\g<database>\g<user>@", text)


def public_url(url: str) -> str:
    """A URL without the secrets that it may hold: over http(s) user and password, which a token
    may stand for, and the query; elsewhere the password alone.
    """
    url = drop_misread_passwords(url)
    try:
        parts = urlsplit(url)
    except ValueError:  # git takes a bracket in a password, which Python takes for an address
        bare = _ADDRESS_USER.sub("", url)
        return public_url(bare) if bare != url else url.partition("?")[0]
    user, at, place = parts.netloc.rpartition("@")
    if parts.scheme in ("http", "https"):
        return urlunsplit((parts.scheme, place, parts.path, "", parts.fragment))
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{place}"))


@lru_cache(maxsize=1)
def _secrets(environment: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The longest first: one may hold another."""
    found = {
        secret
        for name, value in environment
        for secret in _of_variable(name, value.strip())
        if len(secret) >= SHORTEST
    }
    return tuple(sorted(found, key=lambda secret: (-len(secret), secret)))


def _of_variable(name: str, value: str) -> Iterator[str]:
    parts = _split(value)
    if misread := _MISREAD.search(value):
        yield misread["password"]
    if _NAMES.search(name) and not _PLACES.search(name):
        yield value
        if parts is not None:  # libraries tell the path of a URL without its host
            yield parts[1]
    if parts is not None:
        yield parts[0]
        yield unquote(parts[0])


def _split(value: str) -> tuple[str, str] | None:
    """Password, and path with query, of a URL."""
    try:
        parts = urlsplit(value)
        password = parts.password or ""
    except ValueError:
        return None
    if not parts.netloc:
        return None
    return password, parts.path + (f"?{parts.query}" if parts.query else "")
