"""The documents of many machines: objects of an S3 bucket, below a prefix.

boto3, as it alone takes every `AWS_…` variable and file that people know. A document is whole or not there: it is
written to a file of this machine's own, and read from one.
"""

import errno
import math
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from api.privacy.jobs.state.interface import AwayError
from api.privacy.metrics import JOB_STATE_ERRORS

CREDENTIALS = Path("/run/state/aws")
"""Keys in the format of AWS's credentials file, where there is one."""
ROOM = 4096
"""Bytes that an object takes beside its own: a document of none is a row of the database, too."""
LARGEST = 5 * 1024**3
"""Bytes that S3 takes at once. In parts an upload that is cut off would leave them there, in no listing of objects."""
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 30, 4


class _Draft:
    """An object to be."""

    def __init__(self, file: BinaryIO, put: Any) -> None:
        self._file = file
        self._put = put
        self.write = file.write

    def keep(self) -> int:
        size = self._file.tell()
        self._file.seek(0)
        self._put(self._file)
        return size


class Bucket:
    """All documents below `s3://bucket[/prefix]`. Opened at first use, by the process that uses it."""

    def __init__(self, url: str, scratch: Path | None = None, endpoint: str | None = None) -> None:
        """Name them, the directory of this machine's files, and the server, if it is not AWS's."""
        self._failed = {one: JOB_STATE_ERRORS.labels("bucket", one) for one in ("read", "write", "list", "remove")}
        parts = urlsplit(url)
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        self._scratch = scratch
        self._endpoint = endpoint
        self._opening = threading.Lock()
        self._opened: Any = None

    @contextmanager
    def create(self, directory: str, name: str) -> Iterator[_Draft]:
        key = self._key(directory, name)

        def put(file: BinaryIO) -> None:
            with self._answers("write"):
                client = self._client()
                from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]

                client.upload_fileobj(file, self._bucket, key, Config=TransferConfig(multipart_threshold=LARGEST))

        with tempfile.TemporaryFile(dir=self._scratch) as file:
            yield _Draft(cast(BinaryIO, file), put)

    def open(self, directory: str, name: str) -> BinaryIO:
        file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._scratch))  # noqa: SIM115  (its reader closes it)
        try:
            with self._answers("read"):
                self._client().download_fileobj(self._bucket, self._key(directory, name), file)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def settle(self, upload: str) -> None:
        """Nothing: what S3 has taken it keeps."""

    def remove(self, directory: str, name: str) -> None:
        self._delete(self._key(directory, name))

    def clear(self, directory: str) -> None:
        for one in self._objects(directory):
            self._delete(one["Key"])

    def size(self, directory: str) -> int:
        return sum(one["Size"] + ROOM for one in self._objects(directory))

    def written(self, directory: str) -> float:
        return max((one["LastModified"].timestamp() for one in self._objects(directory)), default=-math.inf)

    def _key(self, directory: str, name: str) -> str:
        return f"{self._prefix}{directory}/{name}"

    def _delete(self, key: str) -> None:
        with self._answers("remove"):
            self._client().delete_object(Bucket=self._bucket, Key=key)

    def _objects(self, directory: str) -> list[Any]:
        with self._answers("list"):
            paginator = self._client().get_paginator("list_objects_v2")
            pages = paginator.paginate(Bucket=self._bucket, Prefix=self._key(directory, ""))
            return [one for page in pages for one in page.get("Contents", ())]

    def _client(self) -> Any:
        with self._opening:
            if self._opened is None:
                # For those who have a bucket: it takes 30 MiB.
                import boto3  # type: ignore[import-untyped]
                import botocore.session  # type: ignore[import-untyped]
                from botocore.config import Config  # type: ignore[import-untyped]

                config = Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"mode": "standard", "max_attempts": ATTEMPTS},
                    # Not every S3 knows the checksums that AWS's asks for by default.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                )
                session = botocore.session.Session()
                if CREDENTIALS.is_file():
                    session.set_config_variable("credentials_file", str(CREDENTIALS))
                self._opened = boto3.Session(botocore_session=session).client(
                    "s3", endpoint_url=self._endpoint, config=config
                )
            return self._opened

    @contextmanager
    def _answers(self, operation: str) -> Iterator[None]:
        """Make errors of the library ours, and count them.

        Raises:
            AwayError: the bucket does not answer, or refuses.
            FileNotFoundError: there is no such object.

        """
        from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            yield
        except (ClientError, BotoCoreError, Boto3Error, ValueError) as error:  # ValueError: of an endpoint that is none
            code = str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
            if code in {"404", "NoSuchKey"}:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
            self._failed[operation].inc()
            raise AwayError(f"the documents' bucket: {code or type(error).__name__}") from None
