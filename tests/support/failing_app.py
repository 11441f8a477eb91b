"""The shipped service with a model that puts the text it fails on into its error; as a script, its job process.

The job process's disk fails with the model, once, on a text that says so.
"""

import errno
import os
from threading import Event

from api.main import create_app
from api.privacy.findings import Finding
from api.privacy.jobs import store
from api.privacy.jobs.process import work
from api.settings import load_settings
from sightglass.logs.setup import configure_logging
from tests.support.service import StubModel, words


def find(text: str) -> list[Finding]:
    if "fail" in text:
        raise ValueError(text)
    return words("Zaphod")(text)


def find_without_a_disk(text: str) -> list[Finding]:
    if "the disk too" in text and not disk_failures:
        save = store.Claim.save

        def fail(*_: object, **__: object) -> None:
            store.Claim.save = save  # type: ignore[method-assign]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        disk_failures.append(text)
        store.Claim.save = fail  # type: ignore[method-assign]
    return find(text)


disk_failures: list[str] = []
app = create_app(load_settings(), lambda _: StubModel(find))

if __name__ == "__main__":
    configure_logging(load_settings())
    work(load_settings(), Event(), lambda _: StubModel(find_without_a_disk))
