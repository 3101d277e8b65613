"""Names of the tags on the nested runs of `train`: trials, and the recipe that each tries."""

TAG_TRIAL = "trial.record"
TAG_STATE = "trial.state"
TAG_NUMBER = "trial.number"
TAG_RECIPE = "recipe_id"  # also on versions
