import itertools
import re

from hypothesis import example, given
from hypothesis import strategies as st

from api.privacy.findings import Finding
from api.privacy.scanner import CONTEXT, OVERLAP, WINDOW, Piece, Scanner, scan
from tests.support.service import words

WORD = "Zaphod"


def located(pieces: list[Piece]) -> list[tuple[int, int]]:
    places = []
    start = 0
    for piece in pieces:
        places += [(start + f.start, start + f.end) for f in piece.findings]
        start += len(piece.text)
    return places


# Long stretches make windows; the alphabet makes cuts at spaces, and none where there is no space.
fillers = st.builds(
    lambda unit, times: unit * times, st.sampled_from(["x", "x ", "lorem ipsum ", " "]), st.integers(0, 3000)
)
texts = st.lists(st.one_of(fillers, st.just(WORD)), max_size=8).map("".join)


@given(texts)
def test_pieces_joined_are_the_text_and_every_finding_is_there(text: str) -> None:
    pieces = list(scan(text, words(WORD)))
    assert "".join(piece.text for piece in pieces) == text
    assert located(pieces) == [(f.start, f.end) for f in words(WORD)(text)]


@given(texts, st.lists(st.integers(0, 12000)))
def test_how_the_text_is_cut_changes_nothing(text: str, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    scanner = Scanner(words(WORD))
    pieces = [p for start, end in itertools.pairwise(edges) for p in scanner.feed(text[start:end])]
    pieces += scanner.finish()
    assert pieces == list(scan(text, words(WORD)))


def test_a_finding_is_found_at_every_place_around_a_window_border() -> None:
    for place in range(WINDOW - OVERLAP - 10, WINDOW + 10):
        text = "x" * place + WORD + "x" * WINDOW
        assert located(list(scan(text, words(WORD)))) == [(place, place + len(WORD))], place


def test_a_finding_longer_than_a_window_is_covered_whole() -> None:
    text = "a " + "9" * (3 * WINDOW) + " b"

    def digits(window: str) -> list[Finding]:
        start, end = window.find("9"), window.rfind("9") + 1
        return [Finding(start, end, "DIGITS", 1.0)] if end else []

    covered = {i for start, end in located(list(scan(text, digits))) for i in range(start, end)}
    assert covered == set(range(2, 2 + 3 * WINDOW))


@given(
    st.integers(0, 3 * WINDOW),
    st.integers(0, 3 * WINDOW),
    st.integers(0, 3 * WINDOW),
    st.sampled_from(["", "x", "x "]),
    st.sampled_from(["", " b", ") b", "<x"]),
)
@example(0, 1700, 400, "", "")
@example(5, 0, 3 * WINDOW, "x ", "<x")
@example(0, WINDOW - 6, 0, "", ") b")  # the bracket is the last of a window
def test_a_finding_known_by_its_beginning_is_covered_to_its_end(
    before: int, size: int, dots: int, unit: str, after: str
) -> None:
    own = "id:9" + "9." * (size // 2) + "." * dots + "9"
    text = (unit * before)[:before] + own + after

    def find(window: str) -> list[Finding]:
        return [Finding(*match.span(), "ID", 1.0) for match in re.finditer(r"id:[9.]*9", window)]

    start = text.index("id:")
    covered = {i for first, end in located(list(scan(text, find))) for i in range(first, end)}
    assert covered == set(range(start, start + len(own)))


def test_windows_are_bounded_whatever_the_text() -> None:
    seen: list[int] = []

    def find(window: str) -> list[Finding]:
        seen.append(len(window))
        return []

    list(scan("x" * 50_000, find))
    assert max(seen) == WINDOW + CONTEXT
    assert sum(seen) < 1.3 * 50_000
