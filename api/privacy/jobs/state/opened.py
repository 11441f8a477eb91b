"""Which of the keepers there are, by the settings."""

import logging
from typing import NamedTuple

from api.privacy.jobs.state.directory import Directory
from api.privacy.jobs.state.interface import Documents, Rows
from api.privacy.jobs.state.sqlite import SqliteRows
from api.settings import Settings

logger = logging.getLogger(__name__)


class State(NamedTuple):
    """The keepers of one service's jobs."""

    rows: Rows
    documents: Documents


def open_state(settings: Settings) -> State:
    """Choose them; they connect at first use."""
    # Nobody pays for a library of what is not used.
    if settings.documents_url:
        from api.privacy.jobs.state.s3 import Bucket

        documents: Documents = Bucket(settings.documents_url, endpoint=settings.aws_endpoint_url)
    else:
        documents = Directory(settings.runs_dir)
    if settings.database_url:
        from api.privacy.jobs.state.postgresql import PostgresRows

        if not settings.documents_url:
            logger.info(
                "DATABASE_URL without DOCUMENTS_URL: jobs are in the database, documents and results in RUNS_DIR=%s, "
                "which the API and all job processes have to share",
                settings.runs_dir,
            )
        return State(PostgresRows(settings.database_url, settings.job_retention_bytes), documents)
    return State(SqliteRows(settings.runs_dir, settings.job_retention_bytes), documents)
