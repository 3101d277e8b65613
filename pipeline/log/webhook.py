"""A webhook: a small JSON document to a URL, in bounded time, whatever the other side does."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

NO_HOST = "no host"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Where a redirect leads nobody has agreed to; it counts as an answer that is no success."""

    def redirect_request(self, *_: Any) -> None:
        return None


def host_of(url: str) -> str:
    """The host of a URL: all of it that may be shown, as the rest of a webhook's is its secret."""
    try:
        return urlsplit(url).hostname or NO_HOST
    except ValueError:
        return NO_HOST


def post_json(url: str, content: Mapping[str, Any], patience: float) -> str | None:
    """POST a document.

    Parameters
    ----------
    url : str
        http or https; no redirect is followed.
    content : mapping
        JSON-ready.
    patience : float
        Seconds that all of it may take: looking the host up, connecting, waiting for the answer.

    Returns
    -------
    str or None
        In a few words why it failed, without the URL; None where the answer was a success.
    """
    if url.partition("://")[0].lower() not in ("http", "https"):
        return "not an http or https URL"
    if (host := host_of(url)) == NO_HOST:
        return "no host stands in it"
    if "@" in urlsplit(url).netloc:
        return f"a user or password before {host} is not supported; give the token in its path"
    body = json.dumps(content).encode()
    failed = [f"no answer within {patience:g} s"]
    # A thread, since no timeout of a socket bounds the whole: a name is looked up without one, and
    # an answer that comes byte by byte starts it anew each time.
    thread = threading.Thread(target=_post, args=(url, body, patience, failed), daemon=True)
    thread.start()
    thread.join(patience)
    return failed[-1] or None


def _post(url: str, body: bytes, patience: float, failed: list[str]) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "pipeline-webhook"}
    try:
        request = urllib.request.Request(url, body, headers, method="POST")
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=patience):
            why = ""
    except urllib.error.HTTPError as error:
        error.close()
        why = f"answered with status {error.code}"
    except urllib.error.URLError as error:
        why = _words(error.reason)
    except OSError as error:
        why = _words(error)
    except Exception as error:  # such as a URL that http.client cannot read, which it repeats
        why = type(error).__name__
    failed.append(why)


def _words(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return type(reason).__name__
