"""A table larger than memory is named before work starts."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.parallel.address import LOCAL
from steps.training.memory import BYTES_OF_FIT, BYTES_OF_TABLE, check_memory
from stockpred.errors import ParameterError
from tests.support.data.feature_tables import rows_to_arrow
from tests.support.data.generated_tables import generate_table


def test_table_whose_fits_need_more_than_the_memory_left_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    pq.write_table(rows_to_arrow(generate_table(dates=100, symbols=5, features=6)), path)
    needed = 500 * 6 * (BYTES_OF_TABLE + 2 * BYTES_OF_FIT)
    check_memory("t", path, LOCAL, fits=2, available=needed)
    with pytest.raises(ParameterError, match=r"table='t': .*500 rows x 6 features.* Fix: .*engine"):
        check_memory("t", path, LOCAL, fits=2, available=needed - 1)
    check_memory("t", path, "tcp://scheduler:8786", fits=2, available=needed - 1)
