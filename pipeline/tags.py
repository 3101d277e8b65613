"""Names of run tags and of environment variables."""

# On runs: which step it is, what it wrote, and why it may not be reused.
TAG_KEY = "pipeline.cache_key"
TAG_DAMAGED = "pipeline.damaged"
TAG_ERROR = "pipeline.error"
TAG_FIGURE = "pipeline.key_figure"
TAG_INCOMPLETE = "pipeline.incomplete"
TAG_KEPT = "pipeline.kept"
TAG_MODEL_URI = "pipeline.model_uri"
TAG_MODEL_VERSION = "pipeline.model_version"
TAG_IDEMPOTENCY_KEY = "pipeline.once"
TAG_OUTPUT = "pipeline.output."
TAG_PRUNED = "pipeline.pruned"
TAG_STEP = "pipeline.step."

# On runs: the process that works for it.
TAG_HOST = "pipeline.host"
TAG_PROCESS = "pipeline.process"
TAG_HEARTBEAT = "pipeline.heartbeat"

# On model versions.
STAGE_TAG = "stage"
MODEL_TAG = "model_sha256"  # digest of the version's model (see `artifacts.model_digest`)

# MLflow's own, on runs.
SOURCE_TAG = "mlflow.source.name"
ENTRY_POINT_TAG = "mlflow.project.entryPoint"
TAG_PARENT = "mlflow.parentRunId"

# In the environment of a chain's children: their cache key, which reaches the run's tags once they
# have begun. The chain reports their errors, once.
IN_CHAIN = "PIPELINE_IN_CHAIN"
# The file that a child keeps its log in, so that the chain finds it when the child is killed.
LOG_FILE = "PIPELINE_LOG_FILE"
# The form of log lines, in the environment so that every step of a chain uses the same.
LOG = "PIPELINE_LOG"
