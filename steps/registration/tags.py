"""Names of the tags on registered versions; the version's recipe has that of `train`'s runs."""

TAG_EVALUATION, TAG_PREDICTIONS = "evaluation", "predictions"  # URIs of artifacts
TAG_TRAINED_TO, TAG_AGE = "trained_to", "age"
TAG_PROMOTED_BY_HAND, TAG_REJECTED = "promoted_by_hand", "rejected"  # the reason of each
TAG_GATE = "gate"  # sentence of the latest decision
# Lead, standard error, last date and implied lead of the recipe's evaluation.
TAGS_EXPECTED_LEAD = ("promise", "promise_error", "promised_to", "promise_claim")
