"""Feature sets, by name. To add one: a function in a module of this folder, a row here.

Every guard of tests/stockpred/test_features.py applies to each registered set by itself.
"""

from stockpred.features.base import Feature, FeatureSet, Segment
from stockpred.features.direction import DIRECTION_SET
from stockpred.features.technical import TECHNICAL_SET

__all__ = ["FEATURE_SETS", "Feature", "FeatureSet", "Segment"]

FEATURE_SETS = {each.name: each for each in (DIRECTION_SET, TECHNICAL_SET)}
