"""Redaction of secrets, for every log line and error message.

The standard library alone: `pipeline.git.resolve_ref` runs without this project's environment. So
database URLs are not parsed by SQLAlchemy, whose reading of them a test compares with this one.
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote, urlsplit, urlunsplit

HIDDEN = "***"
SHORTEST = 8  # characters; a shorter secret may be a word of the text
# Environment variables whose value is a secret, and those of them that hold only a path to one.
_NAMES = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|ACCESS_KEY|API_?KEY|CREDENTIAL|WEBHOOK", re.IGNORECASE
)
_PLACES = re.compile(r"_(FILE|PATH|DIR|URI)$", re.IGNORECASE)
# user:password@ of a URL; the user alone may be a token.
_USER = re.compile(r"(?<=://)[^\s/?#'\"<>]+@")
# A password with / ? or # in it, which a URL may hold only as %2F %3F %23: Python and git misread
# it as a port and a path, SQLAlchemy and the user mean a password. If it begins like a port, it
# counts as a password in a database's URL alone, where SQLAlchemy takes all before an @ for the
# password: http://user:1234/5@host cannot be distinguished from http://host:1234/path@home, and is
# shown.
_MISREAD = re.compile(
    r"(?:(?P<database>\b(?:postgres(?:ql)?|mysql|mariadb|mssql|oracle)(?:\+\w{1,32})?://)|(?<=://))"
    # Bounded: else a long text without a space is searched again for each of its URLs.
    r"(?P<user>[^\s/?#@:\['\"<>]{0,256}):"
    r"(?(database)|(?!(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-5]\d{3})[/?#]))"
    r"(?P<password>[^\s/?#@'\"<>]{0,1024}[/?#][^\s'\"<>]{0,1024})@"
)
# The same in a URL alone, whose password may hold any character.
_ADDRESS_USER = re.compile(r"(?<=://)[^/?#]*@")
_QUERY = re.compile(
    r"([?&;][\w.-]*(?:password|secret|token|signature|sig|credential|api_?key)=)[^\s&;#'\"<>]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:\w+ )?)[^\s'\",]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Replace every secret in a text by ``***``; idempotent.

    Secrets are user, password, token and signature in URLs, and the values, of at least `SHORTEST`
    characters, of environment variables with the name of a secret (`MLFLOW_TRACKING_PASSWORD`,
    `AWS_SECRET_ACCESS_KEY`, `..._TOKEN`, `..._WEBHOOK` and the like), anywhere in the text.

    Examples
    --------
    >>> redact("at https://me:hunter2@host/x?token=abc")
    'at https://***@host/x?token=***'
    """
    for secret in _secrets(tuple(sorted(os.environ.items()))):
        text = text.replace(secret, HIDDEN)
    return redact_urls(text)


def redact_urls(text: str) -> str:
    """Replace user, password, token and signature in a text's URLs by ``***``."""
    text = _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(f"{HIDDEN}@", drop_misread_passwords(text)))
    return _HEADER.sub(rf"\1{HIDDEN}", text)


def drop_misread_passwords(text: str) -> str:
    """Remove the passwords that Python and git misread as a port and a path from a text's URLs."""
    return _MISREAD.sub(r"\g<database>\g<user>@", text)


def public_url(url: str) -> str:
    """Remove secrets from a URL: user, password and query over http(s), elsewhere the password.

    Over http(s) the user may be a token.

    Examples
    --------
    >>> public_url("https://token@host/a.git?private_token=x")
    'https://host/a.git'
    >>> public_url("postgresql://me:hunter2@host/db")
    'postgresql://me@host/db'
    """
    url = drop_misread_passwords(url)
    try:
        parts = urlsplit(url)
    except ValueError:  # git takes a bracket in a password, which Python takes for an address
        bare = _ADDRESS_USER.sub("", url)
        return public_url(bare) if bare != url else url.partition("?")[0]
    user, at, host = parts.netloc.rpartition("@")
    if parts.scheme in ("http", "https"):
        return urlunsplit((parts.scheme, host, parts.path, "", parts.fragment))
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}"))


@lru_cache(maxsize=1)
def _secrets(environment: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return the environment's secrets, the longest first: one may contain another."""
    secrets = {
        secret
        for name, value in environment
        for secret in _of_variable(name, value.strip())
        if len(secret) >= SHORTEST
    }
    return tuple(sorted(secrets, key=lambda secret: (-len(secret), secret)))


def _of_variable(name: str, value: str) -> Iterator[str]:
    is_secret = _NAMES.search(name) and not _PLACES.search(name)
    if is_secret:
        yield value
    if misread := _MISREAD.search(value):
        yield misread["password"]
    try:
        parts = urlsplit(value)
        password = parts.password or ""
    except ValueError:
        return
    if parts.netloc:
        yield password
        yield unquote(password)
        if is_secret:  # libraries log the path of a URL without its host
            yield parts.path + (f"?{parts.query}" if parts.query else "")
