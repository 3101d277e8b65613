"""Names of run tags, model version tags and environment variables."""

# Run tags: the step's cache key, its outputs, and reasons not to reuse it.
TAG_CACHE_KEY = "pipeline.cache_key"
TAG_DAMAGED = "pipeline.damaged"
TAG_ERROR = "pipeline.error"
TAG_INCOMPLETE = "pipeline.incomplete"
TAG_KEPT = "pipeline.kept"
TAG_KEY_FIGURE = "pipeline.key_figure"
TAG_MODEL_URI = "pipeline.model_uri"
TAG_MODEL_VERSION = "pipeline.model_version"
TAG_OUTPUT = "pipeline.output."  # + artifact: its sha256
TAG_PRUNED = "pipeline.pruned"
TAG_IDEMPOTENCY_KEY = "pipeline.once"  # of a create call: finds what a lost answer had created
TAG_STEP = "pipeline.step."  # + step + .run_id or .status, on the parent run

# Run tag: the process that works for the run, and its last heartbeat. Runs of earlier releases
# have host and heartbeat in tags of their own.
TAG_PROCESS = "pipeline.process"
TAG_HEARTBEAT = "pipeline.heartbeat"
TAG_HOST = "pipeline.host"

# Tags of MLflow, of runs and of an experiment.
TAG_BACKEND = "mlflow.project.backend"
TAG_COMMIT = "mlflow.source.git.commit"
TAG_ENTRY_POINT = "mlflow.project.entryPoint"
TAG_EXPERIMENT_KIND = "mlflow.experimentKind"
TAG_NOTE = "mlflow.note.content"
TAG_PARENT = "mlflow.parentRunId"
TAG_RUN_NAME = "mlflow.runName"
TAG_SOURCE = "mlflow.source.name"

# Registered model tags.
TAG_FORECASTER = "forecaster"  # number of the version that forecasts while there is no champion

# Model version tags.
TAG_MODEL_SHA256 = "model_sha256"  # see `artifacts.model_digest`
TAG_STAGE = "stage"

# Environment of a chain's child processes: the step's cache key (its presence marks a child, whose
# errors the chain reports), and the log file that survives a killed child.
ENV_IN_CHAIN = "PIPELINE_IN_CHAIN"
ENV_LOG_FILE = "PIPELINE_LOG_FILE"
# Form of log lines, `text` or `json`; in the environment, so that all steps of a chain share it.
ENV_LOG_FORMAT = "PIPELINE_LOG"
