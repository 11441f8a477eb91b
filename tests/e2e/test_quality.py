"""The served model, measured on labelled texts by `make evaluate`, and told by Prometheus."""

from tests.stack import Stack

TYPES = {"CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "all"}


def test_what_was_measured_is_told(stack: Stack) -> None:
    measured = stack.run("make", "--silent", "evaluate", "DATA=examples/labelled.jsonl")
    assert measured.returncode == 0, measured.stderr
    figures = {line.split()[0]: line.split()[1:] for line in measured.stdout.splitlines()[2:]}
    assert figures.keys() >= TYPES
    assert figures["EMAIL_ADDRESS"] == ["1.000"] * 4
    stack.wait_for_scrape()
    assert stack.value("max(model_data_rows)") == 30
    assert stack.value('max(model_quality{metric="f1",entity_type="EMAIL_ADDRESS"})') == 1
    told = stack.value('max(model_quality{metric="recall",entity_type="all"})')
    assert f"{told:.3f}" == figures["all"][1]
    assert "anna@example.com" not in stack.logs("api", tail=500)


def test_what_cannot_be_measured_is_one_line(stack: Stack) -> None:
    (stack.directory / "wrong.jsonl").write_text('{"text": "Mail anna@example.com"}\n')
    for data, said in (
        ("wrong.jsonl", 'line 1: "entities": expected a list; an empty one where there is nothing to find'),
        ("nowhere", "DATA=nowhere: not allowed; expected a file of labelled texts, JSON Lines (docs/model.md)"),
        ("", "EVALUATE_DATA=: not allowed; expected a file of labelled texts, JSON Lines (docs/model.md)"),
    ):
        refused = stack.run("python3", "scripts/evaluate.py", data)
        assert refused.returncode == 1
        assert said in refused.stderr.splitlines()
