import os
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.pipeline import EntityRuler

from api.privacy.findings import ModelError
from api.privacy.model import PresidioModel, load, write_blank
from tests.support.service import eventually, model_reason, serving

EXAMPLES = {
    "EMAIL_ADDRESS": "anna.smith@example.com",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN_CODE": "DE89370400440532013000",
    "IP_ADDRESS": "192.0.2.1",
    "PHONE_NUMBER": "+1 212 555 0123",
    "URL": "https://example.org/x",
}


@pytest.fixture(scope="module")
def model() -> PresidioModel:
    return load(None)


@pytest.mark.parametrize(("kind", "value"), EXAMPLES.items())
def test_the_built_in_model_finds(model: PresidioModel, kind: str, value: str) -> None:
    text = f"Please note {value} for later"
    (found,) = model.find(text, "en", 0.35)
    assert (found.type, text[found.start : found.end]) == (kind, value)


def test_confidence_filters(model: PresidioModel) -> None:
    text = "Call +1 212 555 0123"
    assert len(model.find(text, "en", 0.4)) == 1
    assert model.find(text, "en", 0.9) == []


def test_loading_and_finding_use_no_network(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "def no(*a, **k): raise SystemExit('network')\n"
        "socket.getaddrinfo = socket.socket.connect = socket.create_connection = no\n"
        "from api.privacy.model import load\n"
        "print(len(load(None).find('a@example.com', 'en', 0.35)))"
    )
    environment = {**os.environ, "TLDEXTRACT_CACHE": str(tmp_path)}  # no list that was fetched before
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.returncode) == ("1\n", 0)
    assert "network" not in done.stderr


def test_blank_models_written_by_the_command_are_loaded(tmp_path: Path) -> None:
    write_blank(tmp_path)
    assert load(tmp_path).languages == ("en",)
    assert load(tmp_path / "en").languages == ("en",)


def test_a_trained_model_adds_names(tmp_path: Path) -> None:
    pipeline = spacy.blank("de")
    ruler = pipeline.add_pipe("entity_ruler")
    assert isinstance(ruler, EntityRuler)
    ruler.add_patterns([{"label": "PER", "pattern": "Anna Schmidt"}])
    pipeline.meta["name"] = "names"
    pipeline.meta["version"] = "3.1.4"
    pipeline.to_disk(tmp_path / "model")
    model = load(tmp_path / "model")
    assert (model.name, model.version, model.languages) == ("de_names", "3.1.4", ("de",))
    assert [f.type for f in model.find("Das ist Anna Schmidt aus Köln", "de", 0.5)] == ["PERSON"]


def broken(tmp_path: Path) -> Path:
    (tmp_path / "meta.json").write_text("{")
    return tmp_path


def two_of_a_kind(tmp_path: Path) -> Path:
    for name in "ab":
        spacy.blank("en").to_disk(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p / "nowhere", "no such directory"),
        (lambda p: p, "no spaCy model"),
        (broken, "not a spaCy model this version can load"),
        (two_of_a_kind, "two models for one language"),
    ],
)
def test_a_wrong_model_path_is_said_and_nothing_crashes(tmp_path: Path, make, reason: str) -> None:  # type: ignore[no-untyped-def]
    path = make(tmp_path)
    with pytest.raises(ModelError, match=reason):
        load(path)
    with serving(ready=False, model_path=path) as client:
        eventually(lambda: "failed" in str(model_reason(client)))
        assert reason in str(model_reason(client))
        assert str(path) in str(model_reason(client))
        assert client.post("/api/v1/predict", json={"text": "a"}).status_code == 503
        assert client.get("/openapi.json").status_code == 200
