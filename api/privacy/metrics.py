"""What the service counts; the names are a contract (dashboards and alerts use them)."""

from prometheus_client import Counter, Gauge, Histogram

MODEL_READY = Gauge("model_ready", "1 when the model is loaded and warmed up, else 0.")
PREDICTIONS = Counter("model_predictions_total", "Texts and documents the model has finished.")
INFERENCE_DURATION = Histogram(
    "model_inference_duration_seconds",
    "Time the model took for one text of /api/v1/predict, its turns only; documents are not in it.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
MODEL_ERRORS = Counter("model_errors_total", "Texts and documents the model failed on.")
MODEL_REJECTIONS = Counter("model_rejections_total", "Texts and documents refused because the model was fully used.")
MODEL_PLACES = Gauge(
    "sightglass_model_places",
    "How many of a kind of one client may share the model: texts, documents, and texts while it is loading.",
    ["kind"],
)
MODEL_PLACES_TAKEN = Gauge("sightglass_model_places_taken", "How many share it now.", ["kind"])
PII_DETECTED = Counter("pii_detected_total", "Findings, by the type of personal data.", ["entity_type"])
JOBS = Counter("jobs_total", "Jobs, each counted on every change of its status.", ["status"])
for _status in ("accepted", "retried", "succeeded", "failed", "dead", "cancelled"):
    JOBS.labels(_status)  # from 0 on: the first one is an increase too
JOB_STATE_ERRORS = Counter(
    "sightglass_job_state_errors_total",
    "Times that the jobs' database or bucket did not answer, or refused.",
    ["store", "operation"],
)
