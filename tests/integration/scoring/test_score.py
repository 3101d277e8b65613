"""The step `score`: forecasts equal to training and serving, sources, the ledger."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from pipeline.errors import InputError
from pipeline.run.step_run import StepRun
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import write_groups
from sources.calendars import calendar_sessions
from steps.monitoring.reuse import is_in_ledger
from steps.score import main
from stockpred.bars.schema import BarsInfo, Quarantine, to_arrow
from stockpred.errors import DataError, NotEnoughData, ParameterError
from tests.support.data.bars import make_bars
from tests.support.python_processes import run_python
from tests.support.runs.logged_models import NAME, LoggedModels, log_models

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
ROWS = 260
LOOKBACK = 61
GAP = 150
# What a client does with raw bars, far from any checkout.
CLIENT = """
import sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
bars = pd.read_parquet(sys.argv[2])
parts = [model.predict(rows.reset_index(drop=True)) for _, rows in bars.groupby("symbol")]
pd.concat(parts).to_parquet(sys.argv[3])
"""
RECIPE = {"candidate": "logistic", "calibration": "sigmoid"}
OTHERS = [
    {"candidate": "hist_gradient_boosting", "hyperparameters": {"max_iter": 20}},
    {"candidate": "random_forest", "hyperparameters": {"n_estimators": 20}},
    {"candidate": "xgboost", "calibration": "isotonic", "hyperparameters": {"n_estimators": 20}},
    {"candidate": "prior"},
]


def frames() -> dict[str, pd.DataFrame]:
    """AAA on New York's sessions, BTC on all days, UNI on the file's own, TINY too short."""
    new_york = calendar_sessions("XNYS", np.datetime64("2010-01-01"), np.datetime64("2012-01-01"))
    everyday = calendar_sessions("24/7", np.datetime64("2010-01-01"), np.datetime64("2012-01-01"))
    bars = {
        "AAA": make_bars(ROWS, "AAA", 1).assign(date=new_york[:ROWS]),
        "BTC": make_bars(ROWS, "BTC", 2).assign(date=everyday[:ROWS]),
        "TINY": make_bars(LOOKBACK - 1, "TINY", 3),
        "UNI": make_bars(ROWS, "UNI", 4),
    }
    bars["UNI"] = bars["UNI"].drop(index=GAP).reset_index(drop=True)
    return bars


def write(path: Path, bars_by_symbol: dict[str, pd.DataFrame]) -> Path:
    gap = str(frames()["UNI"]["date"].iloc[GAP] - np.timedelta64(1, "D"))[:10]
    calendars = {"AAA": "XNYS", "BTC": "24/7", "TINY": "union", "UNI": "union"}
    calendar_of = {symbol: calendars[symbol] for symbol in bars_by_symbol}
    info = BarsInfo("made", "as made", calendar_of, (Quarantine("UNI", gap, gap),))
    write_groups(path, map(to_arrow, bars_by_symbol.values()), info.to_metadata)
    return path


class World:
    """Registered models, clean bars, and the step on both."""

    def __init__(self, root: Path, folder: Path, recipes: list[dict[str, Any]]) -> None:
        self.root, self.folder = root, folder
        bars = frames()
        self.bars = write(folder / "bars.parquet", bars)
        learnt = write(folder / "learnt.parquet", {k: bars[k] for k in ("AAA", "BTC", "UNI")})
        self.logged: LoggedModels = log_models(folder, learnt, recipes)
        self.client = MlflowClient(self.logged.store)
        self.client.set_registered_model_alias(NAME, "candidate", "1")

    def score(self, **changes: Any) -> tuple[Path, Any]:
        """Run the step's body; return the folder of its outputs and its run."""
        run_id = self.client.create_run(self.logged.experiment).info.run_id
        scratch = self.folder / run_id
        scratch.mkdir()
        run = StepRun(self.client, run_id, self.root, scratch)
        options = {
            "model_uri": "auto",
            "registered_model": NAME,
            "bars": str(self.bars),
            "source": None,
            "symbols": None,
            "as_of": None,
            "max_missing": 0.05,
            "dates": None,
            "to": None,
            **changes,
        }
        main.body(run, **options)
        run.flush()
        return scratch, self.client.get_run(run_id)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return run_python(["-m", "steps.score", *words], cwd=self.root, env=self.logged.env())


@pytest.fixture(scope="module")
def world(root: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(root, tmp_path_factory.mktemp("score"), [RECIPE])


def table(folder: Path) -> pd.DataFrame:
    return pq.read_table(folder / "predictions.parquet").to_pandas(date_as_object=False)


EVER = (pd.Timestamp("0001-01-01").date(), pd.Timestamp("9999-12-31").date())


@pytest.fixture(scope="module")
def everything(world: World) -> Path:
    """All forecasts of version 1."""
    return world.score(dates=EVER)[0]


@pytest.fixture(scope="module")
def last(world: World) -> tuple[Path, Any]:
    """The last forecast of each symbol, by version 1."""
    return world.score()


def agree(world: World, candidate: str, every: Path, last: Path, scratch: Path) -> None:
    """Score, training and a client get the same probabilities, bit for bit."""
    scored, newest = table(every), table(last)
    training = pd.read_parquet(world.folder / f"training-{candidate}.parquet")
    assert scored["symbol"].tolist() == training["symbol"].tolist()
    assert (scored["date"].to_numpy() == training["date"].to_numpy()).all()
    assert scored["probability_up"].to_numpy().tobytes() == (
        training["probability_up"].to_numpy().tobytes()
    )
    # A history of just the length that is needed; a whole one; what lies behind the gap.
    bars = frames()
    parts = [bars["AAA"].tail(LOOKBACK), bars["BTC"], bars["UNI"].iloc[GAP:]]
    pd.concat(parts).to_parquet(scratch / "bars.parquet")
    words = (world.logged.folders[candidate], scratch / "bars.parquet", scratch / "answers.parquet")
    run_python(["-c", CLIENT, *map(str, words)], cwd=scratch, env=os.environ, check=True)
    answers = pd.read_parquet(scratch / "answers.parquet")
    for column in ("symbol", "date", "probability_up", "direction", "in_range"):
        assert newest[column].tolist() == answers[column].tolist()
    ends = scored.groupby("symbol", observed=True).tail(1)
    assert ends["probability_up"].tolist() == newest["probability_up"].tolist()
    assert candidate == "prior" or len(set(scored["probability_up"])) > 5


def test_score_training_and_a_client_agree_bitwise(
    world: World, everything: Path, last: tuple[Path, Any], tmp_path: Path
) -> None:
    agree(world, "logistic", everything, last[0], tmp_path)


@pytest.mark.long
def test_score_of_other_candidates_agrees_bitwise(root: Path, tmp_path: Path) -> None:
    other = World(root, tmp_path, OTHERS)
    for recipe in OTHERS:
        candidate = recipe["candidate"]
        (scratch := tmp_path / f"client-{candidate}").mkdir()
        uri = f"models:/{NAME}/{other.logged.versions[candidate]}"
        every, newest = (other.score(model_uri=uri, dates=dates)[0] for dates in (EVER, None))
        agree(other, candidate, every, newest, scratch)


def test_score_by_default_gives_the_last_forecast_of_each_symbol(
    world: World, last: tuple[Path, Any]
) -> None:
    folder, run = last
    forecasts = table(folder)
    bars = frames()
    newest = {symbol: bars[symbol]["date"].iloc[-1] for symbol in ("AAA", "BTC", "UNI")}
    assert dict(zip(forecasts["symbol"], forecasts["date"], strict=True)) == newest
    rows = forecasts.set_index("symbol")
    # 2011-01-12 was a Wednesday.
    assert str(newest["AAA"])[:10] == "2011-01-12"
    assert str(rows.loc["AAA", "entry_date"])[:10] == "2011-01-13"
    assert rows.loc["BTC", "exit_date"] == newest["BTC"] + pd.Timedelta(days=1)
    # A file's own sessions, Monday to Friday: the day is expected, and said to be so.
    monday_on = np.busday_offset(newest["UNI"].to_datetime64().astype("datetime64[D]"), 1)
    assert rows.loc["UNI", "entry_date"] == rows.loc["UNI", "exit_date"] == pd.Timestamp(monday_on)
    assert rows["expected_dates"].to_dict() == {"AAA": False, "BTC": False, "UNI": True}
    comma = pd.read_csv(folder / "predictions.csv", parse_dates=["date", "entry_date"])
    for column in ("symbol", "date", "entry_date", "probability_up", "expected_dates"):
        assert comma[column].tolist() == forecasts[column].tolist()
    assert set(forecasts["model"]) == {NAME} and set(forecasts["model_version"]) == {"1"}
    assert set(forecasts["run_id"]) == {world.logged.runs["logistic"]}
    assert set(forecasts["as_of"]) == {pd.Timestamp("2011-01-13", tz="UTC")}
    report = json.loads((folder / "score.json").read_text())
    assert report["skipped"] == {
        "TINY": "none of the dates has 61 sessions without a gap up to it, as this model needs"
    }
    assert (report["alias"], report["version"], report["rows"]) == ("candidate", "1", 3)
    assert run.data.metrics["symbols_skipped"] == 1 and run.data.metrics["rows"] == 3
    assert run.data.tags["pipeline.key_figure"] == (
        "3 forecasts of 3 symbols by stockpred 1; 1 symbol skipped"
    )
    assert run.data.tags["pipeline.model_version"] == "stockpred/1"


def test_score_of_the_same_bars_and_version_is_reproducible(world: World, everything: Path) -> None:
    done = world.command("--bars", str(world.bars), "--dates", "all")
    assert done.returncode == 0, done.stderr
    assert "warning: stockpred has no champion: using its candidate" in done.stderr
    runs = world.client.search_runs(
        [world.logged.experiment], order_by=["attributes.start_time DESC"], max_results=1
    )
    other = Path(runs[0].info.artifact_uri.removeprefix("file://"))
    assert runs[0].info.status == "FINISHED"
    first, second = (folder / "predictions.parquet" for folder in (everything, other))
    assert first.read_bytes() == second.read_bytes()


def test_score_with_dates_and_symbols_gives_only_those(world: World, everything: Path) -> None:
    first, last = pd.Timestamp("2010-07-01"), pd.Timestamp("2010-07-31")
    folder, _ = world.score(dates=(first.date(), last.date()), symbols=("AAA",))
    forecasts = table(folder)
    all_of = table(everything)
    expected = all_of[(all_of["symbol"] == "AAA") & all_of["date"].between(first, last)]
    pd.testing.assert_frame_equal(
        forecasts, expected.reset_index(drop=True), check_categorical=False
    )
    assert len(forecasts) == 21


def test_score_appends_each_row_to_the_ledger_once(world: World, tmp_path: Path) -> None:
    to = str(tmp_path / "ledger")
    first = (pd.Timestamp("2010-12-01").date(), pd.Timestamp("2010-12-31").date())
    _, run = world.score(dates=first, to=to)
    rows = run.data.metrics["ledger_added"]
    assert rows == run.data.metrics["rows"] == 45
    ledger = Ledger(to, Path("/"), "date")
    before = ledger.read().to_pandas()
    assert set(before["scored_by"]) == {run.info.run_id} and before["scored_at"].nunique() == 1
    assert not before.duplicated(["symbol", "date", "model", "model_version"]).any()
    # Other bars since: what was said stands, and the run says that it would say otherwise now.
    other = frames()
    other["AAA"].loc[230:, "volume"] *= 1000
    _, again = world.score(
        dates=(first[0], pd.Timestamp("2011-01-05").date()),
        to=to,
        bars=str(write(tmp_path / "other.parquet", other)),
    )
    assert again.data.metrics["ledger_known"] == rows
    assert again.data.metrics["ledger_differing"] > 0 and again.data.metrics["out_of_range"] > 0
    assert "of them other now and left as they were" in again.data.tags["pipeline.key_figure"]
    after = ledger.read().to_pandas()
    rescored = after[after["scored_by"] == run.info.run_id]
    pd.testing.assert_frame_equal(rescored.reset_index(drop=True), before)
    assert len(after) - len(before) == again.data.metrics["ledger_added"] > 0


def test_score_after_missed_nights_fills_the_ledger_and_flags_late_rows(
    world: World, tmp_path: Path, everything: Path
) -> None:
    to = str(tmp_path / "ledger")
    short = {symbol: bars.iloc[:-5] for symbol, bars in frames().items()}
    new = short.pop("BTC")
    _, first = world.score(to=to, bars=str(write(tmp_path / "first.parquet", short)))
    assert first.data.metrics["rows"] == 2, "the first night: the newest session alone"
    # Files of before the column.
    for path in (tmp_path / "ledger").rglob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns("late"), path)
    second = {**{symbol: bars.iloc[:-1] for symbol, bars in frames().items()}, "BTC": new}
    folder, run = world.score(to=to, bars=str(write(tmp_path / "second.parquet", second)))
    # AAA and UNI miss three sessions before the newest one; BTC is new, and older than they are.
    scored = table(folder)
    assert scored.groupby("symbol").size().to_dict() == {"AAA": 4, "BTC": 1, "UNI": 4}
    assert run.data.metrics["ledger_added"] == 9
    rows = Ledger(to, Path("/"), "date").read().to_pandas()
    late = rows.groupby("symbol")["late"].apply(lambda flags: flags.tolist())
    assert late["AAA"] == late["UNI"] == [None, True, True, True, False]
    assert run.data.metrics["ledger_late"] == 6 + late["BTC"].count(True)
    # A missed session is forecast from the bars up to it.
    joined = scored.merge(table(everything), on=["symbol", "date"], suffixes=("", "_all"))
    assert len(joined) == 9
    assert (joined["probability_up"] == joined["probability_up_all"]).all()
    # Again: nothing is missing, and the newest forecasts stay.
    again, run = world.score(to=to, bars=str(tmp_path / "second.parquet"))
    assert len(table(again)) == 3 and run.data.metrics["ledger_added"] == 0
    # A night with the same bars needs no run, unless the ledger has lost its rows.
    assert is_in_ledger(world.client, run, to)
    other = world.client.get_run(run.info.run_id)
    other.data.tags["pipeline.model_version"] = "another/1"
    assert not is_in_ledger(world.client, other, to), "forecasts of the same version of another"
    max((tmp_path / "ledger").rglob("*.parquet")).unlink()
    assert not is_in_ledger(world.client, run, to)
    assert not is_in_ledger(world.client, run, str(tmp_path / "elsewhere"))


def test_score_after_a_year_fills_the_last_year_and_says_so(
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to = str(tmp_path / "ledger")
    day = pd.Timestamp("2010-09-01").date()
    world.score(dates=(day, day), to=to)
    monkeypatch.setattr("steps.scoring.missed.MAX_DAYS", 10)
    folder, _ = world.score(to=to)
    assert "the missed sessions of the last 10 days are scored" in capsys.readouterr().err
    assert str(table(folder).set_index("symbol").loc["AAA", "date"].min())[:10] == "2011-01-03"


def test_ledger_has_no_date_that_is_only_expected(world: World, tmp_path: Path) -> None:
    world.score(to=str(tmp_path / "ledger"))
    rows = Ledger(str(tmp_path / "ledger"), Path("/"), "date").read()
    assert "expected_dates" not in rows.column_names
    exits = dict(zip(rows["symbol"].to_pylist(), rows["exit_date"].to_pylist(), strict=True))
    assert exits["UNI"] is None and str(exits["AAA"]) == "2011-01-13"


def test_score_of_nothing_given_reads_the_source_and_symbols_of_training(world: World) -> None:
    folder, run = world.score(bars=None)
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert names >= {"bars.parquet", "validation.json", "predictions.parquet", "score.json"}
    forecasts = table(folder)
    assert forecasts["symbol"].tolist() == ["AAPL", "MSFT"]
    assert set(forecasts["date"]) == {pd.Timestamp("2013-03-01")}
    assert set(forecasts["entry_date"]) == {pd.Timestamp("2013-03-04")}
    assert set(run.data.tags) >= {"pipeline.output.bars.parquet"}


def test_score_with_invalid_inputs_is_refused_in_one_line(world: World, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"source='snapshot': expected none beside bars"):
        world.score(source="snapshot")
    with pytest.raises(ParameterError, match=r"symbols='ZZZ': .*AAA, BTC, TINY"):
        world.score(symbols=("AAA", "ZZZ"))
    with pytest.raises(NotEnoughData, match="TINY: none of the dates"):
        world.score(symbols=("TINY",))
    with pytest.raises(InputError, match="'nosuch://x'"):
        world.score(to="nosuch://x")
    broken = frames()["AAA"]
    broken.loc[ROWS - 3, "high"] = 0.01
    path = write(tmp_path / "broken.parquet", {"AAA": broken})
    with pytest.raises(DataError, match=r"broken.parquet.* row \d+, column 'high'"):
        world.score(bars=str(path))
