"""The model, measured on labelled texts: reading them, counting, keeping, telling."""

import io
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric

from api.privacy.findings import Finding
from api.privacy.quality import evaluation, labelled, record
from api.privacy.quality.labelled import LabelError
from api.privacy.quality.metrics import Quality
from api.privacy.quality.record import Evaluation, Record
from api.privacy.quality.scores import ALL, Pair, measure, worse

SHIPPED = Path(__file__).resolve().parents[2] / "examples/labelled.jsonl"
MAIL = {"text": "Mail a@b.example", "entities": [{"type": "EMAIL_ADDRESS", "start": 5, "end": 16}]}


def lines(*objects: object) -> list[bytes]:
    return [json.dumps(one).encode() + b"\n" for one in objects]


def at(kind: str, start: int, end: int, score: float = 1.0) -> Finding:
    return Finding(start, end, kind, score)


class TestLabelled:
    def test_a_set_is_read_with_its_version_and_what_tells_its_rows(self) -> None:
        read = labelled.read([*lines(MAIL), b"\n", *lines({"text": "hallo", "entities": [], "language": "de"})])
        assert [(one.text, one.language, one.entities) for one in read.examples] == [
            ("Mail a@b.example", "en", (at("EMAIL_ADDRESS", 5, 16),)),
            ("hallo", "de", ()),
        ]
        assert labelled.read(lines(MAIL)).version != read.version
        assert labelled.read(lines(MAIL)).examples[0].row == read.examples[0].row

    def test_what_predict_answers_is_a_label(self) -> None:
        answered = {**MAIL, "entities": [{**MAIL["entities"][0], "score": 0.5}], "redacted": "…"}  # type: ignore[dict-item]
        assert labelled.read(lines(answered)).examples == labelled.read(lines(MAIL)).examples

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"{", "not JSON"),
            (b"\xff", "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b"[]", 'expected an object with a "text"'),
            (b'{"text": 1, "entities": []}', 'expected an object with a "text"'),
            (b'{"text": "a"}', '"entities": expected a list'),
            (b'{"text": "a", "entities": {}}', '"entities": expected a list'),
            (b'{"text": "a", "entities": [1]}', '"entities": expected objects'),
            (b'{"text": "a", "entities": [{"type": "", "start": 0, "end": 1}]}', '"entities": expected objects'),
            (b'{"text": "a", "entities": [{"type": "X", "start": true, "end": 1}]}', '"entities": expected objects'),
            (b'{"text": "a", "entities": [{"type": "X", "start": 0, "end": 2}]}', "expected 0 <= start < end"),
            (b'{"text": "a", "entities": [{"type": "X", "start": 1, "end": 1}]}', "expected 0 <= start < end"),
            (b'{"text": "a", "language": 1, "entities": []}', '"language"'),
            (
                b'{"text": "abc", "entities": [{"type": "X", "start": 0, "end": 2},'
                b' {"type": "Y", "start": 1, "end": 3}]}',
                "overlap",
            ),
        ],
    )
    def test_what_is_no_label_is_said_by_its_line_without_its_text(self, line: bytes, reason: str) -> None:
        with pytest.raises(LabelError) as error:
            labelled.read([*lines(MAIL), line])
        assert str(error.value).startswith("line 2: ")
        assert reason in str(error.value)
        assert "\n" not in str(error.value)

    def test_nothing_is_no_set(self) -> None:
        with pytest.raises(LabelError, match="no labelled text"):
            labelled.read([b"\n"])

    @given(st.lists(st.binary(max_size=60), max_size=4))
    def test_whatever_comes_is_read_or_refused(self, garbage: list[bytes]) -> None:
        with suppress(LabelError):
            labelled.read(garbage)

    def test_the_shipped_set_is_one(self) -> None:
        with SHIPPED.open("rb") as texts:
            assert len(labelled.read(texts).examples) == 30


class TestScores:
    def test_a_finding_is_right_with_its_type_and_both_ends(self) -> None:
        figures = measure(
            [
                Pair([at("A", 0, 3)], [at("A", 0, 3)]),
                Pair([at("A", 0, 3)], [at("A", 0, 4)]),
                Pair([at("A", 0, 3), at("A", 5, 8)], [at("A", 0, 3), at("B", 5, 8)]),
                Pair([], []),
            ]
        )
        assert figures["A"] == {"precision": 2 / 3, "recall": 2 / 4, "f1": 4 / 7, "accuracy": 2 / 4}
        assert figures["B"] == {"precision": 0.0, "f1": 0.0, "accuracy": 3 / 4}
        assert figures[ALL] == {"precision": 2 / 4, "recall": 2 / 4, "f1": 2 / 4, "accuracy": 2 / 4}

    def test_nothing_labelled_and_nothing_found_tell_accuracy_alone(self) -> None:
        assert measure([Pair([], [])]) == {ALL: {"accuracy": 1.0}}

    @given(
        st.lists(
            st.tuples(*[st.lists(st.builds(at, st.sampled_from("AB"), st.integers(0, 3), st.integers(4, 6)))] * 2),
            max_size=5,
        )
    )
    def test_figures_are_shares_and_f1_lies_between(self, sides: list[tuple[list[Finding], list[Finding]]]) -> None:
        for figures in measure(Pair(*side) for side in sides).values():
            assert all(0 <= value <= 1 for value in figures.values())
            if "precision" in figures and "recall" in figures:
                low, high = sorted((figures["precision"], figures["recall"]))
                assert low - 1e-9 <= figures["f1"] <= high + 1e-9

    def test_worse_is_a_lower_f1_beyond_the_tolerance(self) -> None:
        before = {"A": {"f1": 0.9}, "B": {"f1": 0.5}, "C": {"accuracy": 1.0}, ALL: {"f1": 0.8}}
        assert worse({"A": {"f1": 0.89}, "B": {"f1": 0.5}, ALL: {"f1": 0.8}}, before, 0.02) == []
        assert worse({"A": {"f1": 0.87}, ALL: {"f1": 0.7}}, before, 0.02) == [
            "all: f1 0.700, before 0.800",
            "A: f1 0.870, before 0.900",
            "B: f1 none, before 0.500",
        ]


class StubModel:
    """Finds every `@` as a mail address."""

    name, version, languages = "stub", "1", ("en",)

    def find(self, text: str, language: str, min_confidence: float) -> list[Finding]:
        return [at("EMAIL_ADDRESS", 5, 16)] if "@" in text else []


def evaluated(model: str = "1", data: str = "d", f1: float = 0.9, rows: tuple[str, ...] = ("r",)) -> Evaluation:
    identity = {"name": "m", "version": model, "revision": ""}
    return Evaluation(identity, data, rows, 0, 1.5, {ALL: {"f1": f1}})


class TestRecord:
    def test_what_is_replaced_is_another_models_on_the_same_data(self) -> None:
        first = record.following(None, evaluated())
        assert first == Record(evaluated())
        second = record.following(first, evaluated("2"))
        assert second.replaced == evaluated()
        again = record.following(second, evaluated("2", f1=0.91))
        assert again.replaced == evaluated()
        assert record.following(again, evaluated("2", data="e")).replaced is None
        assert record.following(again, evaluated("3", data="e")).replaced is None

    def test_it_is_kept(self, tmp_path: Path) -> None:
        kept = Record(evaluated("2"), evaluated())
        record.write(tmp_path, kept)
        assert record.read(tmp_path) == kept
        assert record.read(tmp_path / "elsewhere") is None

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"current": {}, "replaced": null}', '{"current": 1}', "\0"])
    def test_what_cannot_be_read_is_none(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "quality").mkdir()
        (tmp_path / record.FILE).write_text(content)
        assert record.read(tmp_path) is None

    def test_new_rows_are_those_that_the_one_before_had_not(self) -> None:
        assert record.new_rows(None, ["a", "b"]) == 2
        assert record.new_rows(Record(evaluated(rows=("a",))), ["a", "b"]) == 1


class TestProgram:
    @pytest.fixture(autouse=True)
    def stub(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from api.settings import Settings

        monkeypatch.setattr(evaluation, "load_model", lambda _: StubModel())
        monkeypatch.setattr(evaluation, "load_settings_or_exit", lambda: Settings(runs_dir=tmp_path))

    def run(self, monkeypatch: pytest.MonkeyPatch, told: bytes, *arguments: str) -> int:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(told)))
        monkeypatch.setattr("sys.argv", ["evaluation", *arguments])
        return evaluation.main()

    def test_it_measures_and_keeps(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, b"".join(lines(MAIL))) == 0
        printed = json.loads(capsys.readouterr().out)
        kept = record.read(tmp_path)
        assert kept is not None
        assert record.parse(printed) == kept.current
        assert kept.current.figures["EMAIL_ADDRESS"]["f1"] == 1.0
        assert kept.current.new_rows == 1
        assert "a@b" not in json.dumps(printed)

    def test_a_comparison_keeps_nothing_and_tells_by_its_status(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        told = b"".join(lines(MAIL))
        assert self.run(monkeypatch, told, "--compare") == evaluation.NOT_COMPARABLE
        assert record.read(tmp_path) is None
        self.run(monkeypatch, told)
        assert self.run(monkeypatch, told, "--compare") == 0
        before = record.read(tmp_path)
        monkeypatch.setattr(StubModel, "find", lambda *_, **__: [])
        capsys.readouterr()
        assert self.run(monkeypatch, told, "--compare") == evaluation.WORSE
        said = capsys.readouterr()
        assert "EMAIL_ADDRESS: f1 0.000, before 1.000" in said.err
        assert record.read(tmp_path) == before
        assert self.run(monkeypatch, said.out.encode(), "--keep") == 0
        after = record.read(tmp_path)
        assert after is not None
        assert after.current.figures["EMAIL_ADDRESS"]["f1"] == 0.0

    @pytest.mark.parametrize("told", [b"", b"{", b'{"text": "x", "entities": [], "language": "fr"}'])
    def test_what_cannot_be_measured_is_one_line(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], told: bytes
    ) -> None:
        assert self.run(monkeypatch, told) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
        assert record.read(tmp_path) is None
        assert self.run(monkeypatch, told, "--keep") == 1


class TestMetrics:
    def told(self, runs_dir: Path) -> dict[str, Metric]:
        quality = Quality()
        quality.runs_dir = runs_dir
        return {family.name: family for family in quality.collect()}

    def test_nothing_measured_is_nothing_told(self, tmp_path: Path) -> None:
        assert self.told(tmp_path) == {}
        assert list(Quality().collect()) == []

    def test_what_is_kept_is_told(self, tmp_path: Path) -> None:
        record.write(tmp_path, Record(replace(evaluated("2"), new_rows=1), evaluated(f1=0.95)))
        told: dict[str, list[tuple[dict[str, Any], float]]] = {
            name: [(sample.labels, sample.value) for sample in family.samples]
            for name, family in self.told(tmp_path).items()
        }
        assert told == {
            "model_quality": [({"metric": "f1", "entity_type": "all"}, 0.9)],
            "model_quality_replaced": [({"metric": "f1", "entity_type": "all"}, 0.95)],
            "model_evaluated_timestamp_seconds": [({}, 1.5)],
            "model_data_rows": [({}, 1)],
            "model_data_new_rows": [({}, 1)],
        }

    def test_without_another_model_there_is_nothing_replaced(self, tmp_path: Path) -> None:
        record.write(tmp_path, Record(evaluated()))
        assert "model_quality_replaced" not in self.told(tmp_path)
