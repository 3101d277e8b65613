"""Redaction: secrets are hidden, other text is kept; JSON log lines."""

import json
import subprocess
import sys
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from pipeline.log.redact import SHORTEST, public_url, redact, redact_urls
from tests.support.paths import ROOT

SHOWN = [
    ("http://user:p4ssw0rd@host:5000/x", "http://***@host:5000/x"),
    ("error at 'https://tok3n@git.host/x.git': no", "error at 'https://***@git.host/x.git': no"),
    ("postgresql+psycopg://a:b%40c@h/db?x=1", "postgresql+psycopg://***@h/db?x=1"),
    ("https://h/x.csv?sig=abc&to=b", "https://h/x.csv?sig=***&to=b"),
    ("https://h/x?X-Amz-Signature=ab12 x", "https://h/x?X-Amz-Signature=*** x"),
    ("?access_token=abc", "?access_token=***"),
    ("{'Authorization': 'Basic YWJj'}", "{'Authorization': 'Basic ***'}"),
    ("'http://u:p4ss/w/rd@h:1/x': no a@b", "'http://***@h:1/x': no a@b"),
    ("postgresql+psycopg://u:p4?s#w@rd@h/db", "postgresql+psycopg://***@h/db"),
    ("postgresql://me:12345/x@h/db", "postgresql://***@h/db"),
    ("to mysql+pymysql://u:5432?1#2@h/db.", "to mysql+pymysql://***@h/db."),
    ("http://u:70000/x@h and http://u:01/x@h", "http://***@h and http://***@h"),
    ("two http://a:b@c and http://d:e@f", "two http://***@c and http://***@f"),
]
KEPT = [
    "models:/stockpred@champion",
    "runs:/0123/bars.parquet",
    "http://127.0.0.1:5000/#/experiments/1",
    "s3://bucket/key@2x.parquet",
    "mail someone@example.org",
    "https://host/a@b",
    "http://h:5000/a@b",
    "http://[::1]:5000/a@b",
    "http://h:5000/#/a@b",
    "http://h:65535/a@b",
    "hdfs://name:8020/a@b",
    "postgresql://h:5432/db",
    "http://me:12345/x@h/",
    "acquire: executed in 3.0 s",
    "https://h/x.csv?symbols=AAPL&keys=2",
    "",
]


@pytest.mark.parametrize(("text", "expected"), SHOWN)
def test_redact_urls_hides_credentials(text: str, expected: str) -> None:
    assert redact_urls(text) == expected == redact(text)


@pytest.mark.parametrize("text", KEPT)
def test_redact_urls_keeps_other_text(text: str) -> None:
    assert redact_urls(text) == text


PASSWORD = st.text("0123456789ab/?#:%.~!", min_size=1, max_size=20)


@given(st.sampled_from(["postgresql", "postgresql+psycopg", "mysql+pymysql"]), PASSWORD)
def test_password_as_sqlalchemy_reads_it_is_hidden(kind: str, password: str) -> None:
    url = f"{kind}://me:{password}@host/db"
    parsed = make_url(url)
    assert (parsed.password, parsed.host) == (unquote(password), "host")
    assert redact_urls(f"at {url}, no") == f"at {kind}://***@host/db, no"
    assert public_url(url) == f"{kind}://me@host/db"


@given(st.integers(1, 65535), st.sampled_from("/?#"), st.text("01ab/?#:@.=", max_size=20))
def test_port_and_path_are_kept(port: int, mark: str, tail: str) -> None:
    url = f"http://host:{port}{mark}{tail}"
    assert redact_urls(url) == url


@given(st.from_regex(r"0\d{0,4}|6[6-9]\d{3}|[789]\d{4}|\d{6,9}", fullmatch=True), PASSWORD)
@settings(max_examples=30)
def test_number_that_is_no_port_is_hidden_as_a_password(begin: str, tail: str) -> None:
    assert redact_urls(f"http://me:{begin}/{tail}@host/x") == "http://***@host/x"


NAMES = [
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "STOCKPRED_WEBHOOK",
    "GITHUB_TOKEN",
    "PGPASSWORD",
    "SOME_API_KEY",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
]


@given(
    name=st.sampled_from(NAMES),
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\0*"), min_size=SHORTEST),
    around=st.text(max_size=20),
)
def test_secret_of_the_environment_is_hidden_anywhere_in_a_text(
    name: str, secret: str, around: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, secret)
        if len(secret.strip()) >= SHORTEST:
            assert secret.strip() not in redact(f"{around}{secret}{around}")


def test_parts_of_a_secret_url_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKPRED_WEBHOOK", "https://hooks.host/services/T0/B0/abcdef?v=1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://u:p%40ssw0rd1@h/db")
    redacted = redact(
        "POST /services/T0/B0/abcdef?v=1 to hooks.host; p@ssw0rd1 or p%40ssw0rd1; h/db"
    )
    assert redacted == "POST *** to hooks.host; *** or ***; h/db"


def test_unquoted_password_of_a_database_url_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLAlchemy takes it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://u:p4ss/w?rd@h/db")
    assert redact("no access with p4ss/w?rd") == "no access with ***"


def test_path_to_a_secret_and_a_short_secret_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token")
    monkeypatch.setenv("DB_PASSWORD", "mlflow")
    assert redact("mlflow reads /var/run/token") == "mlflow reads /var/run/token"


BUG = """
import logging, sys, warnings
from pipeline.log.console import log_context, logger, redact_output
redact_output()
print("at http://u:pl4nted-s3cret@h")
log_context.update(run="r1", step="train")
fields = {"seconds": 1.5, "event": "step_ended", "status": "cached"}
logger.info("one: http://u:pl4nted-s3cret@h", extra=fields)
logger.warning("two\\nlines")
logging.getLogger("x").warning("three pl4nted-s3cret")
warnings.warn("four pl4nted-s3cret")
sys.stderr.write("begun ")
sys.stderr.write("and ended\\rsix\\n")
raise KeyError("five pl4nted-s3cret")
"""


def run(form: str) -> list[str]:
    env = {"PATH": "/usr/bin", "TRACKING_TOKEN": "pl4nted-s3cret", "PIPELINE_LOG": form}
    done = subprocess.run(
        [sys.executable, "-c", BUG], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert (
        done.returncode == 1 and done.stdout == "at http://***@h\n" and "pl4nted" not in done.stderr
    )
    return done.stderr.splitlines()


def test_output_of_any_writer_holds_no_secret() -> None:
    lines = run("text")
    assert lines[:3] == ["one: http://***@h", "warning: two", "lines"]
    assert "three ***" in lines and any(line.endswith("UserWarning: four ***") for line in lines)
    assert lines[-1] == "KeyError: 'five ***'"


def test_json_lines_are_objects_of_the_same_fields() -> None:
    records = [json.loads(line) for line in run("json")]
    fields = ["time", "level", "event", "run", "step", "seconds", "status", "message"]
    assert all(list(record) == fields for record in records)
    assert {(record["run"], record["step"]) for record in records} == {("r1", "train")}
    assert all(record["time"].endswith("Z") for record in records)
    first, second, *others = records
    values = (first["event"], first["seconds"], first["status"], first["message"])
    assert values == ("step_ended", 1.5, "cached", "one: http://***@h")
    assert (second["level"], second["message"]) == ("warning", "two\nlines")
    assert {record["event"] for record in others} == {"output"}
    messages = [record["message"] for record in others]
    assert {"three ***", "begun and ended", "six"} <= set(messages)
    assert messages[-1] == "KeyError: 'five ***'"
