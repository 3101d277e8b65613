"""Setup of every notebook: the project on the path, a tracking server, quiet libraries."""

# Imports in functions: those of the project need the path set below, and libraries their settings.

import os
import re
import sys
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
WORKBENCH = "http://mlflow:5000"  # what docker-compose.yml calls its tracking server
INK, BLUE, GREY, GREEN, RED = "#22303c", "#1b6ca8", "#8a949e", "#3a8f5c", "#c0563b"

# The notebooks import the project from the checkout, without installing it.
sys.path.insert(0, str(PROJECT))


def begin(experiment: str) -> None:
    """Choose a tracking server, make `experiment` the current one, and print both.

    The server is that of ``MLFLOW_TRACKING_URI``; without it the workbench's, where it answers;
    else an SQLite file beside the notebooks. Processes that a notebook starts inherit the choice.

    Parameters
    ----------
    experiment : str
        Name; made where it does not exist.

    Raises
    ------
    ConnectionError
        The server of ``MLFLOW_TRACKING_URI`` does not answer.
    """
    own = f"sqlite:///{HERE}/mlflow.db"
    uri = os.environ.get("MLFLOW_TRACKING_URI") or (WORKBENCH if _answers(WORKBENCH, 2) else own)
    if uri.startswith("http") and not _answers(uri, 30):
        # MLflow itself would retry for minutes.
        raise ConnectionError(
            f"MLFLOW_TRACKING_URI={_shown(uri)!r}: expected a tracking server, got no answer. "
            "Fix: start it, or unset MLFLOW_TRACKING_URI."
        )
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_LOGGING_LEVEL"] = "ERROR"
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Projects and servers that a notebook starts run on the Python that runs the notebook.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # A progress bar that Jupyter lacks; hints of MLflow to the authors of models; scikit-learn's to
    # MLflow on its autologging.
    warnings.filterwarnings("ignore", message="IProgress not found")
    warnings.filterwarnings("ignore", message=".*Any type hint is inferred", category=UserWarning)
    warnings.filterwarnings("ignore", message=".*integer column", category=UserWarning)
    warnings.filterwarnings("ignore", message=".*y_pred. was renamed", category=FutureWarning)
    _style()

    import mlflow

    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(experiment) is None and uri.startswith("sqlite"):
        # Without a server that keeps artifacts they lie beside the notebooks, too.
        mlflow.create_experiment(experiment, artifact_location=(HERE / "mlruns").as_uri())
    mlflow.set_experiment(experiment)
    print(f"MLflow {mlflow.__version__}, tracking to {_shown(uri)}, experiment {experiment!r}")


def ui_link(run_id: str = "") -> str:
    """Return the address of a run or of the experiment, or the command that serves it."""
    import mlflow

    uri = _shown(mlflow.get_tracking_uri())
    if not uri.startswith("http"):
        return f"mlflow ui --backend-store-uri {uri}   # then open http://127.0.0.1:5000"
    runs = f"{uri}/#/experiments/{os.environ['MLFLOW_EXPERIMENT_ID']}/runs"
    page = f"{runs}/{run_id}" if run_id else runs
    return f"{page}?workflowType=machine_learning"  # else MLflow opens its pages of GenAI


def embedded_bars() -> pd.DataFrame:
    """Read the embedded daily bars, sorted by (symbol, date)."""
    from sources import open_source

    return open_source("snapshot", PROJECT).read(None, None, None).bars


def _shown(uri: str) -> str:
    """Remove a password from a URI: outputs are saved with the notebook."""
    return re.sub(r"//[^@/]*@", "//", uri)


def _answers(uri: str, seconds: float) -> bool:
    """Say whether a tracking server answers, with or without asking for a password."""
    try:
        with urllib.request.urlopen(f"{_shown(uri).rstrip('/')}/health", timeout=seconds):
            return True
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except OSError:
        return False


def _style() -> None:
    import matplotlib as mpl

    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 11,
            "axes.titlecolor": INK,
            "axes.prop_cycle": mpl.cycler(color=[BLUE, GREEN, RED, GREY, INK]),
            "legend.frameon": False,
        }
    )
