"""The forest that looks its leaves up directly, against scikit-learn's own way."""

import time

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from stockpred.models.direct_forest import BLOCK_ROWS, DirectForest


@pytest.mark.parametrize("share_missing", [0.0, 0.1])
def test_forest_probabilities_have_the_bits_of_scikit_learn(share_missing: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BLOCK_ROWS + 300, 5)).astype(np.float32)
    x[rng.random(x.shape) < share_missing] = np.nan
    y = rng.random(len(x)) < 1 / (1 + np.exp(-np.nan_to_num(x[:, 0])))
    forest = DirectForest(n_estimators=7, random_state=0).fit(x[:2000], y[:2000])
    expected = RandomForestClassifier.predict_proba(forest, x)
    assert forest.predict_proba(x).tobytes() == expected.tobytes()
    assert forest.predict_proba(x[-1:]).tobytes() == expected[-1:].tobytes()


def test_forest_refuses_rows_with_another_number_of_features() -> None:
    x = np.zeros((4, 3), np.float32)
    forest = DirectForest(n_estimators=2).fit(x, [0, 1, 0, 1])
    with pytest.raises(ValueError, match="3 features"):
        forest.predict_proba(x[:, :2])


def test_one_row_costs_less_than_half_of_scikit_learns_prediction() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 5)).astype(np.float32)
    forest = DirectForest(n_estimators=200, max_depth=6, random_state=0).fit(x, x[:, 0] > 0)

    def cost(kind: type[RandomForestClassifier]) -> float:
        began = time.process_time()
        for row in range(5):
            kind.predict_proba(forest, x[row : row + 1])
        return time.process_time() - began

    assert min(cost(DirectForest) for _ in range(3)) < 0.5 * cost(RandomForestClassifier)
