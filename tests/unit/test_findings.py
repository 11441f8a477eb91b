import itertools

from hypothesis import given
from hypothesis import strategies as st

from api.privacy.findings import Finding, merge, redact

TEXT = "abcdefghijklmnopqrstuvwxyz" * 2
findings = st.lists(
    st.builds(
        lambda start, length, kind, score: Finding(start, start + length, kind, score),
        st.integers(0, 40),
        st.integers(1, 12),
        st.sampled_from(["A", "B"]),
        st.sampled_from([0.4, 0.5, 1.0]),
    ),
    max_size=12,
)


@given(findings)
def test_merged_findings_are_sorted_and_apart_and_cover_the_same_characters(found: list[Finding]) -> None:
    merged = merge(found)
    assert all(left.end <= right.start for left, right in itertools.pairwise(merged))
    assert {i for f in merged for i in range(f.start, f.end)} == {i for f in found for i in range(f.start, f.end)}


@given(findings)
def test_order_does_not_matter(found: list[Finding]) -> None:
    assert merge(found) == merge(found[::-1])


def test_the_best_score_then_the_longest_names_the_whole() -> None:
    assert merge([Finding(0, 5, "URL", 0.5), Finding(3, 9, "EMAIL", 1.0)]) == [Finding(0, 9, "EMAIL", 1.0)]
    assert merge([Finding(0, 5, "A", 0.5), Finding(3, 12, "B", 0.5)]) == [Finding(0, 12, "B", 0.5)]
    assert merge([Finding(0, 3, "A", 1.0), Finding(3, 6, "B", 0.5)]) == [
        Finding(0, 3, "A", 1.0),
        Finding(3, 6, "B", 0.5),
    ]


@given(findings)
def test_redaction_keeps_exactly_what_is_outside_the_findings(found: list[Finding]) -> None:
    merged = merge(found)
    hidden = {i for f in merged for i in range(f.start, f.end)}
    placeholders = sum(len(f.type) + 2 for f in merged)
    redacted = redact(TEXT, merged)
    assert len(redacted) == len(TEXT) - len(hidden) + placeholders
    assert redacted.replace("[A]", "").replace("[B]", "") == "".join(c for i, c in enumerate(TEXT) if i not in hidden)
