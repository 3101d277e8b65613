"""Feature sets by name. To add one: a function in a module of this folder, a row here.

The guards of the tests apply to each registered set.
"""

from stockpred.features.direction import DIRECTION_SET
from stockpred.features.technical import TECHNICAL_SET

FEATURE_SETS = {feature_set.name: feature_set for feature_set in (DIRECTION_SET, TECHNICAL_SET)}
