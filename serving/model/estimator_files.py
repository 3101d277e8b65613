"""A fitted estimator as files: no pickle, and equal bytes for equal fits."""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stockpred.models.calibrators import Calibrated, from_dict, to_dict
from stockpred.models.candidates import get_candidate

ESTIMATOR = "estimator"
CALIBRATION = "calibration"

_PART_ID = re.compile(r'(?<="__id__": )\d+|(?<=")\d+(?=\.npy")')
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can hold


def save_estimator(estimator: Any, folder: Path) -> dict[str, Path]:
    """Write a fitted estimator to files.

    Parameters
    ----------
    estimator : estimator
        Of scikit-learn or a boosting library, calibrated or not.
    folder : Path
        An existing folder to write to.

    Returns
    -------
    dict of str to Path
        `ESTIMATOR`: scikit-learn's as skops, a boosting library's as its own JSON;
        `CALIBRATION`, where it is calibrated: the calibration map as JSON.
    """
    files = {}
    if isinstance(estimator, Calibrated):
        files[CALIBRATION] = folder / "calibration.json"
        files[CALIBRATION].write_text(json.dumps(to_dict(estimator.map), indent=2) + "\n")
        estimator = estimator.estimator
    if hasattr(estimator, "get_booster"):
        files[ESTIMATOR] = folder / "estimator.json"
        files[ESTIMATOR].write_bytes(estimator.get_booster().save_raw("json"))
    else:
        files[ESTIMATOR] = folder / "estimator.skops"
        files[ESTIMATOR].write_bytes(_skops_bytes(estimator))
    return files


def load_estimator(files: Mapping[str, str | Path], name: str) -> Any:
    """Load an estimator written by `save_estimator`.

    Parameters
    ----------
    files : mapping of str to path
        As `save_estimator` returns it.
    name : str
        Candidate. In skops files only the types that skops and this candidate trust are loaded.

    Returns
    -------
    estimator
    """
    path = Path(files[ESTIMATOR])
    if path.suffix == ".json":
        estimator = get_candidate(name).build({}, 0)
        estimator.load_model(path)
    else:
        import skops.io

        estimator = skops.io.load(path, trusted=list(get_candidate(name).trusted))
    if CALIBRATION not in files:
        return estimator
    return Calibrated(estimator, from_dict(json.loads(Path(files[CALIBRATION]).read_text())))


def _skops_bytes(estimator: Any) -> bytes:
    """Dump an estimator by skops, with equal bytes for equal fits.

    skops names parts by their memory addresses and dates them; here they are numbered in the
    order of their appearance and have no date.
    """
    import skops.io

    raw = zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator)))
    schema = raw.read("schema.json").decode()
    numbers: dict[str, str] = {}
    schema = _PART_ID.sub(lambda m: numbers.setdefault(m[0], str(len(numbers))), schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _write(archive, "schema.json", schema.encode())
        parts = {name: name.removesuffix(".npy") for name in raw.namelist() if name[0].isdigit()}
        for name, old in sorted(parts.items(), key=lambda item: int(numbers[item[1]])):
            _write(archive, f"{numbers[old]}.npy", raw.read(name))
    return buffer.getvalue()


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
