"""The command line of programs: types, one form of errors, arguments of functions."""

import codecs
import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import mlflow
import pytest

from pipeline.parallel import address
from pipeline.run.step_run import StepRun
from steps.cli.command import OptionError, grouped, option, program, step, usage_message
from steps.cli.parameters import PARAMETERS, defaults, of_chain, taken_by, value_of
from steps.cli.types import (
    Date,
    DateSpan,
    Engine,
    Flag,
    Instant,
    Location,
    Names,
    Number,
    Or,
    Refused,
    Symbols,
)
from tests.support.runs.stores import make_store

VALUES: dict[str, tuple[Any, str, object]] = {
    "word": (Or("all", click.IntRange(1, 9)), "all", None),
    "number beside a word": (Or("all", click.IntRange(1, 9)), "05", 5),
    "number": (Number(0, 1, max_open=True), "5e-2", 0.05),
    "flag off": (Flag("off", "on"), "off", False),
    "flag on": (Flag("off", "on"), "on", True),
    "names without repeats": (Names(["a", "b"]), "b, a,b", ("b", "a")),
    "date": (Date(), "2012-02-29", dt.date(2012, 2, 29)),
    "span": (DateSpan(), "2012-01-01:2012-01-01", (dt.date(2012, 1, 1), dt.date(2012, 1, 1))),
    "instant": (Instant(), "2012-01-01T01:00+01:00", dt.datetime(2012, 1, 1, tzinfo=dt.UTC)),
    "symbols": (Symbols(), " aapl ,BRK-B,AAPL", ("AAPL", "BRK-B")),
    "symbols as in any file": (
        Symbols(),
        "btc/usdt,M&M.NS, brk b,^GSPC,=A,#A,naïve,トヨタ,$A$,straße",
        ("BTC/USDT", "M&M.NS", "BRK B", "^GSPC", "=A", "#A", "NAÏVE", "トヨタ", "$A$", "STRASSE"),
    ),
    "this machine": (Engine(), "local", "local"),
    "scheduler": (Engine(), "tcp://10.0.0.5:8786", "tcp://10.0.0.5:8786"),
    "scheduler with IPv6": (Engine(), "tls://[::1]:8786", "tls://[::1]:8786"),
    "user of a URI": (Location(), "abfss://box@host/x.csv", "abfss://box@host/x.csv"),
}
REFUSED: dict[str, tuple[Any, str, str]] = {
    "nan": (Number(0, 1), "nan", "'nan'"),
    "endless": (Number(0, 1), "inf", "inf"),
    "flag": (Flag("off", "on"), "yes", "'yes'"),
    "name": (Names(["a"]), "a,c", "'c'"),
    "missing extra": (Names(["a"], lambda name: f"{name} needs more"), "a", "needs more"),
    "reversed span": (DateSpan(), "2012-01-02:2012-01-01", "2012-01-01"),
    "no zone": (Instant(), "2012-01-01T00:00", "time zone"),
    "no symbol between commas": (Symbols(), "A,,B", "'', which is no symbol"),
    "symbol with a line break": (Symbols(), "A\nB", "'A\\nB', which is no symbol"),
    "long symbol": (Symbols(), "A" * 201, "AAA"),
    "engine": (Engine(), "dask", "'dask'"),
    "engine over http": (Engine(), "http://h:8786", "'http://h:8786'"),
    "engine without a port": (Engine(), "tcp://h", "without a port"),
    "engine with a wrong port": (Engine(), "tcp://h:99999", "out of range"),
    "engine with a path": (Engine(), "tcp://h:8786/x", "'tcp://h:8786/x'"),
    "engine with a user": (Engine(), "tcp://u@h:8786", "'tcp://u@h:8786'"),
    "two lines": (Location(), "a\nb", "one line"),
    "password": (Location(), "http://u:s3cret@h/x", "password"),
}


@pytest.mark.parametrize("case", VALUES)
def test_type_right_text_gives_typed_value(case: str) -> None:
    kind, text, value = VALUES[case]
    converted = kind.convert(text, None, None)
    assert converted == value and type(converted) is type(value)


@pytest.mark.parametrize("case", REFUSED)
def test_type_wrong_text_is_refused_with_its_value(case: str) -> None:
    kind, text, fragment = REFUSED[case]
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(text, None, None)
    assert fragment in caught.value.message and "s3cret" not in caught.value.message


LIST = "# mine\naapl\n\n  # theirs\nM&M.NS\n x,y \nAAPL\nトヨタ"
LISTED = ("AAPL", "M&M.NS", "X,Y", "トヨタ")
LISTS = {
    "UTF-8": LIST.encode(),
    "with a byte-order mark": LIST.encode("utf-8-sig"),
    "UTF-16": LIST.encode("utf-16"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + LIST.encode("utf-16-be"),
    "from Windows": LIST.replace("\n", "\r\n").encode("utf-8-sig"),
    "from an old Macintosh": LIST.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("form", LISTS)
def test_symbols_list_in_any_unicode_form_gives_its_symbols(form: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(LISTS[form])
    assert Symbols().convert(f"@{path}", None, None) == LISTED


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "an empty list"),
        (b"# none\n\n", "an empty list"),
        ("A\nPETRÓ\n".encode("cp1252"), "other text than UTF-8 in line 2 of "),
        (codecs.BOM_UTF16_LE + b"A", "other text than UTF-8 in line 1 of "),
        ("A\nB".encode("utf-16-le"), "zero bytes in "),
    ],
)
def test_symbols_list_without_readable_symbols_is_refused(
    content: bytes, fragment: str, tmp_path: Path
) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(click.BadParameter) as caught:
        Symbols().convert(f"@{path}", None, None)
    assert fragment in caught.value.message


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_default_is_a_value_of_its_type(name: str) -> None:
    for default in PARAMETERS[name].own_defaults.values():
        if default is not None:
            PARAMETERS[name].type_at(default).convert(default, None, None)


def parse(words: list[str]) -> str:
    """Error of a command with the options of `validate`."""
    options = [option(PARAMETERS[name], text) for name, text in taken_by("validate").items()]
    with pytest.raises(click.ClickException) as caught:
        click.Command("validate", params=list(options)).main(words, standalone_mode=False)
    return usage_message(caught.value)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--bars", "x", "--window", "0"], "window='0': expected a whole number from 1 to 252"),
        ([], "bars: expected "),
        (["--bras", "x"], "got the unknown option --bras. Fix: give --bars"),
        (["--bars"], "'--bars' requires an argument"),
        (["x", "--bars", "x"], "unexpected extra argument"),
    ],
)
def test_wrong_command_line_has_the_one_form(words: list[str], fragment: str) -> None:
    message = parse(words)
    assert fragment in message and "\n" not in message
    assert ": expected " in message and ", got " in message and " Fix: " in message


def test_option_error_shortens_a_long_value() -> None:
    message = OptionError("name", "x" * 5000, expected="less", fix="give less").format_message()
    assert message.startswith("name='xxx") and len(message) < 500


@dataclass(frozen=True)
class Pair:
    low: int
    high: int = 9


def test_grouped_makes_dataclasses_of_flat_values() -> None:
    def function(run: object, *, pair: Pair, name: str) -> None: ...

    assert grouped(function, {"low": 1, "name": "a"}) == {"pair": Pair(1), "name": "a"}
    values = {"pair": Pair(2, 3), "name": "a"}
    assert grouped(function, values) == values


def test_program_of_a_function_unlike_the_table_is_an_error() -> None:
    with pytest.raises(TypeError, match="evaluate"):

        @program("evaluate")
        def main(*, recipe: str, colour: str) -> None: ...


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.parametrize("in_chain", [False, True])
def test_step_alone_prints_its_key_figure_and_where_its_artifacts_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    in_chain: bool,
) -> None:
    @step("monitor")
    def main(run: StepRun, **values: object) -> None:
        run.set_key_figure("No alert")

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(make_store(tmp_path))
    try:
        run = mlflow.MlflowClient().create_run("0").info
        monkeypatch.setenv("MLFLOW_RUN_ID", run.run_id)
        if in_chain:
            monkeypatch.setenv("PIPELINE_IN_CHAIN", "key")
            monkeypatch.setenv("PIPELINE_LOG_FILE", str(tmp_path / "log"))
        main.command.main(["--ledger", "x"], standalone_mode=False)
    finally:
        mlflow.set_tracking_uri(before)
    folder = tmp_path / "default" / run.run_id / "artifacts"
    expected = "" if in_chain else f"monitor: No alert\nArtifacts in {folder}\n"
    assert capsys.readouterr().out == expected


def test_texts_of_one_value_are_one_typed_value() -> None:
    assert value_of("folds", "05") == value_of("folds", "5") == defaults()["folds"] == 5


def test_engine_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "PACKAGE", "no_such_package_here")
    with pytest.raises(Refused, match="which is the extra 'dask'") as caught:
        Engine().convert("tcp://h:8786", None, None)
    assert caught.value.fix == "install it: uv sync --extra dask"
    assert Engine().convert("local", None, None) == "local"


def test_engine_is_handed_on_without_a_part_in_the_key() -> None:
    for name in ("features", "train", "evaluate"):
        assert of_chain(name, is_keyed=False) == ("engine",)
        assert "engine" not in of_chain(name)


def test_instant_is_handed_on_without_a_part_in_the_key() -> None:
    assert of_chain("acquire", is_keyed=False) == ("as_of",)
    assert "as_of" not in of_chain("acquire")
