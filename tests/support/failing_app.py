"""The shipped service with a model that puts the text it fails on into its error; as a script, its worker."""

from threading import Event

from api.main import create_app
from api.observability.logging import configure_logging
from api.privacy.findings import Finding
from api.privacy.worker import work
from api.settings import load_settings
from tests.support.service import StubModel, words


def find(text: str) -> list[Finding]:
    if "fail" in text:
        raise ValueError(text)
    return words("Zaphod")(text)


app = create_app(load_settings(), lambda _: StubModel(find))

if __name__ == "__main__":
    configure_logging(load_settings())
    work(load_settings(), Event(), lambda _: StubModel(find))
