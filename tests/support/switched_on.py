"""All that can be switched on but ACME, which wants a name and somebody who certifies it."""

PROFILES = ["monitoring", "telemetry", "postgres", "valkey"]
SETTINGS = {
    "TELEMETRY": "true",
    "MLFLOW": "true",
    "RESTIC_REPOSITORY": "/backups",
    "DATABASE_URL": "postgresql://sightglass@postgres/sightglass",
    "QUEUE_URL": "redis://valkey:6379/0",
}
