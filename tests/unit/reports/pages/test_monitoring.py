"""The monitor's page, also as a real browser shows it."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.pages.html import POLICY
from tests.support.data.live_records import DAYS, live_forecasts, record_losing_skill, scored_rows
from tests.support.pages.monitoring import monitoring_page


@pytest.fixture(scope="module")
def page() -> str:
    rows = record_losing_skill(1, 100)
    return monitoring_page(pd.concat([scored_rows(rows), scored_rows(rows, "2")]))


def test_monitoring_page_is_self_contained_and_begins_with_the_alert(page: str) -> None:
    body = page[page.index("<body>") :]
    assert re.match(r"<body><h1>[^<]*</h1><p class=lead>Alert: the forecasts are worse", body)
    assert not re.search(r"https?://|<script|<link|@import|url\(|srcset", page)
    assert "&lt;script&gt;" in page and len(page) < 2 << 20
    assert page.count("data:image/png;base64,") == 5
    assert "the first to pass" in page and "No forecasts to compare." in page
    newest = re.findall(r"<tr><td>(S\d+)</td><td>([-\d]+)</td>", page)
    assert len(newest) == 20 and len({date for _, date in newest}) == 1


@pytest.mark.parametrize("outcomes", [0, 1, 15])
def test_monitoring_page_of_the_first_days_has_no_nan(outcomes: int) -> None:
    rows = scored_rows(live_forecasts(0, 15))
    is_open = rows["date"] >= np.append(np.unique(rows["date"]), DAYS[-1])[outcomes]
    rows.loc[is_open, ["label", "forward_return"]] = np.nan
    text = re.sub(r'src="[^"]*"', "", monitoring_page(rows))
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)
    assert ("No forecast has an outcome yet." in text) == (outcomes == 0)
    assert text.count("<img") == (5 if outcomes else 0)


@pytest.mark.run
def test_browser_shows_the_monitoring_page(page: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine: apt-get install chromium, and run it again")
    probe = (
        "<script>addEventListener('load', () => {document.title = [document.images.length, "
        "Math.min(...[...document.images].map(i => i.naturalWidth)), "
        "document.documentElement.scrollWidth, document.body.scrollHeight].join(' ');});</script>"
    )
    file = tmp_path / "monitoring.html"
    assert POLICY in page
    # The policy would let no probe run.
    file.write_text(page.replace(POLICY, "").replace("</body>", f"{probe}</body>"))
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1200,900",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    images, width, wide, high = map(int, re.search(r"<title>([\d ]+)<", done.stdout)[1].split())
    assert images == 5 and width > 300 and wide <= 1200 and high > 1500
    # Chromium writes a page's errors to its log as "...:CONSOLE:...".
    assert "CONSOLE" not in done.stderr
