"""Names of all columns, each defined once."""

SYMBOL = "symbol"
DATE = "date"
OPEN = "open"
HIGH = "high"
LOW = "low"
CLOSE = "close"
ADJ_CLOSE = "adj_close"
VOLUME = "volume"

KEY = (SYMBOL, DATE)
PRICES = (OPEN, HIGH, LOW, CLOSE)
BARS = (*KEY, *PRICES, ADJ_CLOSE, VOLUME)

LABEL = "label"
LABEL_END = "label_end"
FORWARD_RETURN = "forward_return"
DAILY_RETURN = "daily_return"
OUTCOME = (LABEL, LABEL_END, FORWARD_RETURN, DAILY_RETURN)

PROBABILITY_UP = "probability_up"
DIRECTION = "direction"
IN_RANGE = "in_range"
TRAINED_TO = "trained_to"
PRIOR = "prior"
PRIOR_SYMBOL = "prior_symbol"
SUPPORTED_SHARE = "supported_share"
PREVIOUS_UP = "previous_up"
CHAMPION = "champion"
FOLD = "fold"
CANDIDATE = "candidate"

ENTRY_DATE = "entry_date"
EXIT_DATE = "exit_date"
MODEL = "model"
MODEL_VERSION = "model_version"
RUN_ID = "run_id"
AS_OF = "as_of"
BARS_SHA256 = "bars_sha256"
SCORED_AT = "scored_at"
SCORED_BY = "scored_by"
LATE = "late"  # whether the outcome was known when a forecast was made
