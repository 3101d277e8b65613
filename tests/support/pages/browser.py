"""A real Chromium, driven over its DevTools pipe: pages at any width, light, dark or printed."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

DEADLINE = 120  # seconds for one answer, on a busy machine
AXE = ROOT / ".ci" / "node_modules" / "axe-core" / "axe.min.js"
FINDINGS = (Path(__file__).parent / "findings.js").read_text()


class Browser:
    """One Chromium with one tab; a page is shown after the other."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._count, self._unread, self._session = 0, b"", ""
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScrollbarsHidden", hidden=True)

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._requests, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._events.append(answer)

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + DEADLINE
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0, until - time.monotonic()))
            chunk = os.read(self._answers, 1 << 20) if ready else b""
            assert chunk, f"no answer of Chromium in {DEADLINE} s, or it has ended"
            self._unread += chunk
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def show(self, page: Path, *, width: int = 1000, dark: bool = False, media: str = "") -> None:
        """Load a page; `errors` are its own from now on."""
        self.resize(width, dark=dark, media=media)
        self._events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(self._read())

    def resize(self, width: int, *, dark: bool = False, media: str = "") -> None:
        """Show the page at another width, in another colour scheme or medium."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def evaluate(self, script: str) -> Any:
        """Evaluate an expression in the page; a promise is awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def errors(self) -> list[str]:
        """Errors and warnings on the page's console."""
        self.evaluate("0")  # what was reported before it has arrived then
        found = []
        for event in self._events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"]["exception"]["description"])
            if event.get("method") == "Log.entryAdded":
                found.append(params["entry"]["text"])
            if event.get("method") == "Runtime.consoleAPICalled":
                found.append(" ".join(str(a.get("value")) for a in params["args"]))
        return found

    def findings(self, *, may_scroll: bool = False) -> list[str]:
        """What cannot be read: texts that overlap, are cut or tiny; a page wider than its frame.

        With `may_scroll` a wide table may scroll inside its frame.
        """
        return self.evaluate(f"({FINDINGS})({json.dumps(may_scroll)})")

    def layout_findings(self, page: Path) -> list[str]:
        """What cannot be read of a page in a frame as MLflow's, a wide or narrow window, in print.

        In the frame no script runs. On a phone wide tables may scroll.
        """
        found = []
        self.call("Emulation.setScriptExecutionDisabled", value=True)
        self.show(page, width=700)
        self.call("Emulation.setScriptExecutionDisabled", value=False)
        found += [f"frame of 700 px: {text}" for text in self.findings()]
        for width, dark in ((1600, True), (400, False)):
            self.show(page, width=width, dark=dark)
            self.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            found += [f"{width} px: {text}" for text in self.findings(may_scroll=width < 700)]
            found += [f"console at {width} px: {text}" for text in self.errors]
        self.resize(700, media="print")
        found += [f"print: {text}" for text in self.findings()]
        return found

    def accessibility_findings(self) -> list[str]:
        """Violations that axe-core finds, contrast included; the test is skipped without axe."""
        if not AXE.exists():
            pytest.skip("no axe-core in .ci: npm ci --prefix .ci")
        self.evaluate(f"{AXE.read_text()};0")
        rules = {"resultTypes": ["violations"]}
        done = self.evaluate(f"axe.run(document, {json.dumps(rules)})")
        return [
            f"{rule['id']}: {rule['help']}: {node['html'][:120]} {node['failureSummary'][:200]}"
            for rule in done["violations"]
            for node in rule["nodes"]
        ]

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        done = self.call(
            "Page.captureScreenshot", clip={**size, "scale": 1}, captureBeyondViewport=True
        )
        path.write_bytes(base64.b64decode(done["data"]))

    def print_to(self, path: Path) -> None:
        """Write the page as PDF, as the print dialog does."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF")["data"]))


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with a profile in a folder; the test is skipped without Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium, and run it again")
    (read_requests, requests), (answers, write_answers) = os.pipe(), os.pipe()
    command = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-pipe",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
    ]
    # Chromium reads requests from descriptor 3 and answers on 4.
    redirect = f'exec "$@" 3<&{read_requests} 4>&{write_answers}'
    process = subprocess.Popen(
        ["bash", "-c", redirect, "bash", *command],
        pass_fds=(read_requests, write_answers),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(read_requests)
    os.close(write_answers)
    try:
        yield Browser(requests, answers)
    finally:
        process.kill()
        process.wait()
        os.close(requests)
        os.close(answers)
