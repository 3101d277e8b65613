"""The stand-in on 127.0.0.1: a market, faults in its answers, and a record of requests."""

import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from . import answers
from .answers import CHART, Answer, Request
from .faults import KINDS, REQUESTS, ROWS, STATUSES, WIRE, Fault, edit_chart
from .listing import Refusal
from .market import UNKNOWN, Market
from .proxy import Connection, Proxy, certificates

INSTEAD = {
    "html": answers.down,
    "null": answers.nothing,
    "bomb": answers.bomb,
    "unknown": lambda: answers.as_error(UNKNOWN),
}


class Standin(Market):
    """Stand in for Yahoo while the block lasts; record its requests.

    A request is recorded before its answer is sent, so that a client with an answer sees it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.max_parallel = 0  # chart requests being answered at once, at most
        self.parallel = 0  # at this moment
        self._faults: list[Fault] = []
        self._recording = threading.Lock()

    def __enter__(self) -> "Standin":
        self._folder = tempfile.TemporaryDirectory()
        self._bundle = Path(self._folder.name) / "authority.pem"
        certificates()[0].cert_pem.write_to_path(self._bundle)
        self.proxy = Proxy(self._admits, self._handle)
        self.proxy.__enter__()
        self._started = time.monotonic()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._folder.cleanup()
        self.proxy.__exit__(kind, error, traceback)

    def env(self) -> dict[str, str]:
        """Return the environment that sends a process's requests to the stand-in."""
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), self.proxy.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            **dict.fromkeys(
                ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), str(self._bundle)
            ),
        }

    def fault(
        self,
        kind: str,
        symbol: str | None = None,
        times: int | None = None,
        on: str | tuple[str, ...] | None = None,
        **options: object,
    ) -> None:
        """Switch a fault on for the next `times` requests that it strikes; None: always.

        It strikes requests `on` "timezone", "bars", or (the default) both; also "crumb" and
        "cookie". "refused" strikes "connect", where there is no symbol yet.
        """
        on = on or ("connect" if kind == "refused" else ("timezone", "bars"))
        on = (on,) if isinstance(on, str) else on
        assert kind in KINDS and set(on) <= set(REQUESTS), (kind, on)
        with self.lock:
            self._faults.append(Fault(kind, symbol, times, on, options))

    def heal(self) -> None:
        """Switch every fault off."""
        with self.lock:
            self._faults.clear()

    def chart_requests(self, symbol: str | None = None) -> list[Request]:
        charts = [r for r in list(self.requests) if r.kind in ("timezone", "bars")]
        return [r for r in charts if symbol in (None, r.symbol)]

    @property
    def bytes_sent(self) -> int:
        return sum(r.sent for r in list(self.requests))

    def _admits(self, host: str) -> bool:
        return host.endswith(".yahoo.com") and not self._strike("connect", None)

    def _strike(self, request: str, symbol: str | None) -> list[Fault]:
        """Return the faults that strike a request: any number of rows, one of the wire."""
        struck: list[Fault] = []
        with self.lock:
            for fault in self._faults:
                second = fault.kind in WIRE and any(f.kind in WIRE for f in struck)
                if not second and fault.strikes(request, symbol):
                    struck.append(fault)
        return struck

    def _handle(self, connection: Connection) -> None:
        """Answer one request, or fail it by its faults."""
        at = time.monotonic() - self._started
        parts = urlsplit(connection.path)
        params = dict(parse_qsl(parts.query))
        kind = answers.kind_of(connection.host, parts.path, params)
        chart = kind in ("timezone", "bars")
        symbol = unquote(parts.path.removeprefix(CHART)).upper() if chart else None
        with self._recording:
            self.parallel += chart
            self.max_parallel = max(self.max_parallel, self.parallel)
        try:
            struck = self._strike(kind, symbol)
            options = {fault.kind: fault.options for fault in struck}
            if "latency" in options:
                self._delay(**options["latency"])
            answer = self._answer(kind, symbol, params, struck)
            payload = answer.head() + (answer.half() if "cut" in options else answer.body)
            if options.keys() & {"timeout", "reset"}:
                payload = b""
            self.requests.append(
                Request(kind, connection.host, parts.path, symbol, params, at, len(payload))
            )
            if "timeout" in options:
                connection.hold(options["timeout"].get("seconds", 60))
        finally:
            with self._recording:
                self.parallel -= chart
        if "reset" in options:
            connection.reset()
        elif "endless" in options:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while not self.proxy.stopping.is_set():  # until the client has gone
                connection.send(bytes(1 << 16), close=True)
        elif payload:
            connection.send(payload, close="cut" in options)

    def _delay(self, seconds: float, together: float = float("inf")) -> None:
        """Delay an answer for some seconds, or until `together` requests are open at once."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0 and self.max_parallel < together:
            if self.proxy.stopping.wait(min(remaining, 0.01)):
                return

    def _answer(
        self, kind: str, symbol: str | None, params: dict[str, str], struck: list[Fault]
    ) -> Answer:
        for fault in struck:
            if fault.kind in STATUSES:
                return answers.as_status(int(fault.kind), **fault.options)
            if fault.kind in INSTEAD:
                return INSTEAD[fault.kind]()
        if kind in ("cookie", "crumb"):
            return answers.cookie() if kind == "cookie" else answers.crumb()
        try:
            if symbol is None:
                raise Refusal(404, "Not Found", "Quote not found")
            listing, rows = self.requested_rows(symbol, params)
        except Refusal as refusal:
            return answers.as_error(refusal)
        for fault in struck:
            if fault.kind in ROWS:
                rows = ROWS[fault.kind](rows, listing, **fault.options)
        result = listing.chart(rows, params)
        edit_chart(result, struck)
        kinds = {fault.kind for fault in struck}
        answer = answers.as_json({"chart": {"result": [result], "error": None}})
        return answer._replace(body=answer.half()) if "truncated" in kinds else answer
