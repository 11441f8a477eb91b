"""Uploads that find no room on disk are the server's trouble, told in its log, not the client's.

Starlette keeps a form's files beyond a megabyte in `tempfile`'s directory. FastAPI answers any exception of that with
400 and without a word; here a failure of the disk is 507 (RFC 4918, section 11.5) and a line in the log.
"""

import logging
import os
from functools import wraps

from starlette import formparsers
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)


def report_full_disk() -> None:
    """Have Starlette's parser of multipart forms tell of a disk that fails; a second call changes nothing."""
    parse = formparsers.MultiPartParser.parse
    if getattr(parse, "sightglass", False):
        return

    @wraps(parse)
    async def parse_or_report(parser: formparsers.MultiPartParser) -> FormData:
        try:
            return await parse(parser)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            logger.error("no room for an upload: %s", reason)
            raise HTTPException(507, "There is no room for the upload") from error

    parse_or_report.sightglass = True  # type: ignore[attr-defined]
    formparsers.MultiPartParser.parse = parse_or_report  # type: ignore[method-assign, assignment]
