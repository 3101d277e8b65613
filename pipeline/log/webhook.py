"""A webhook: a small JSON document sent to a URL, in bounded time."""

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

NO_HOST = "no host"
HEADERS = {"User-Agent": "pipeline-webhook"}


def host_of(url: str) -> str:
    """Return the host of a URL: all of it that may be shown, as the rest is its secret."""
    try:
        return urlsplit(url).hostname or NO_HOST
    except ValueError:
        return NO_HOST


def post_json(url: str, content: Mapping[str, Any], timeout: float) -> str | None:
    """POST a document once, without a retry.

    Parameters
    ----------
    url : str
        http or https; no redirect is followed, since nobody agreed to where it leads.
    content : mapping
        JSON-ready, without NaN.
    timeout : float
        Seconds for all of it: looking the host up, connecting, waiting for the answer.

    Returns
    -------
    str or None
        Reason of a failure in a few words, without the URL; None after a success (2xx).
    """
    if url.partition("://")[0].lower() not in ("http", "https"):
        return "not an http or https URL"
    if (host := host_of(url)) == NO_HOST:
        return "its URL has no host"
    if "@" in urlsplit(url).netloc:
        return f"a user or password before {host} is not supported; give the token in its path"
    reasons = [f"no answer within {timeout:g} s"]
    # A thread, since no timeout of a socket bounds the whole: a name is looked up without one, and
    # an answer that comes byte by byte starts it anew each time.
    thread = threading.Thread(target=_post, args=(url, content, timeout, reasons), daemon=True)
    thread.start()
    thread.join(timeout)
    return reasons[-1] or None


def _post(url: str, content: Mapping[str, Any], timeout: float, reasons: list[str]) -> None:
    import requests

    try:
        with requests.post(
            url, json=content, headers=HEADERS, timeout=timeout, allow_redirects=False, stream=True
        ) as response:
            status = response.status_code
            reasons.append("" if 200 <= status < 300 else f"answered with status {status}")
    except requests.Timeout:
        reasons.append("no answer in time")
    except Exception as error:  # a URL that requests cannot read is repeated by its error
        reasons.append(_reason(error))


def _reason(error: BaseException) -> str:
    """Return what the operating system says of a failure, else the error's type."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return getattr(error, "strerror", None) or type(error).__name__
