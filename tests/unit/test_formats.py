import codecs
import csv
import encodings
import io
import itertools
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.privacy.findings import Finding
from api.privacy.formats import charset as charset_names
from api.privacy.formats import csv as csv_format
from api.privacy.formats import document, ndjson
from api.privacy.formats import xml as xml_format
from api.privacy.formats.charset import find_charset
from api.privacy.formats.document import DocumentError
from api.privacy.formats.media import CSV, MEDIA_TYPES, NDJSON, TEXT, TEXT_XML, TSV, XML
from api.privacy.formats.redaction import make_redactor
from api.privacy.model import PresidioModel, load
from api.privacy.redactor import Find
from tests.support.service import words

WORD = "Zaphod"
HIDDEN = "[WORD]"
MARK = "\ufeff"
ZAPHOD = words(WORD)


def run(
    kind: str,
    data: bytes,
    cuts: Iterable[int] = (),
    charset: str | None = None,
    find: Find = ZAPHOD,
    delimiter: str | None = None,
) -> bytes:
    redactor = make_redactor(kind, charset, find, delimiter)
    edges = sorted({0, len(data), *(cut for cut in cuts if 0 < cut < len(data))})
    parts = [part for start, end in itertools.pairwise(edges) for part in redactor.feed(data[start:end])]
    parts += redactor.finish()
    return b"".join(parts)


def outcome(kind: str, data: bytes, cuts: Iterable[int] = ()) -> bytes | None:
    try:
        return run(kind, data, cuts)
    except DocumentError:  # which of several faults is met first may differ
        return None


def hidden(text: str) -> str:
    return text.replace(WORD, HIDDEN)


# What a format has to escape, what could be mistaken for its syntax, and what is to be found.
pieces = st.sampled_from(
    [WORD, "a", " ", '"', "'", ",", ";", "\n", "\r\n", "&", "<", ">", "]]>", "é", "\U0001f600", "\\", "{"]
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)  # NUL is refused
cells = st.lists(st.one_of(pieces, texts, st.just("lorem ipsum " * 60)), max_size=6).map("".join)
cuts = st.one_of(
    st.integers(1, 40).map(lambda step: range(step, 4000, step)), st.lists(st.integers(1, 4000), max_size=20)
)
blobs = st.one_of(cells.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=9))
tables = st.lists(st.lists(cells, min_size=2, max_size=4), max_size=5)
delimiters = st.sampled_from(csv_format.DELIMITERS)


@given(
    st.sampled_from([TEXT, CSV, NDJSON, XML]),
    st.lists(blobs),
    cuts,
)
def test_how_any_document_is_cut_changes_nothing(kind: str, parts: list[bytes], cuts: Iterable[int]) -> None:
    data = b"".join(parts)
    assert outcome(kind, data, cuts) == outcome(kind, data) == outcome(kind, data, range(len(data)))


def encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@given(cells, cuts, st.sampled_from(sorted(charset_names.CHARSETS)))
def test_text_keeps_all_but_the_findings(text: str, cuts: Iterable[int], name: str) -> None:
    text = encodable(text).encode(name, "replace").decode(name)
    assert run(TEXT, text.encode(name), cuts, name).decode(name) == hidden(text)


marks = st.sampled_from(["", MARK])


@given(tables, cuts, delimiters, st.booleans(), marks)
def test_csv_stays_the_same_table(
    rows: list[list[str]], cuts: Iterable[int], delimiter: str, quote_all: bool, mark: str
) -> None:
    table = [[encodable(cell).replace("\0", "") for cell in row] for row in rows]
    if not quote_all and table:  # a first line that tells the delimiter, as another in bare cells might not
        others = csv_format.DELIMITERS.replace(delimiter, "")
        table[0] = [cell.translate(str.maketrans("", "", others)) for cell in table[0]]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL).writerows(table)
    redacted = run(CSV, (mark + out.getvalue()).encode(), cuts).decode()
    assert redacted.startswith(mark)
    read = list(csv.reader(io.StringIO(redacted[len(mark) :], newline=""), delimiter=delimiter, strict=True))
    assert read == [[hidden(cell) for cell in row] for row in table]


@pytest.mark.parametrize(
    "document",
    [
        '"Um\nsatz";Mail\r\n1;Zaphod\r\n',
        f'{MARK}"Name,""first""",Mail\r\na,Zaphod\r\n',
        f'{MARK}"Name;;";Mail\r\na;Zaphod\r\n',
        'a, "b;c;d"\r\nZaphod,1\r\n',
        '5" a;6" b\nZaphod;1\n',
        '"a;b"|"c;d"\rZaphod|1\r',
        MARK,
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_odd_first_lines_tell_the_delimiter(document: str, step: int) -> None:
    seen: list[str] = []

    def find(text: str) -> list[Finding]:
        seen.append(text)
        return words(WORD)(text)

    data = document.encode()
    assert run(CSV, data, range(step, len(data), step), find=find).decode() == hidden(document)
    if WORD in document:
        assert WORD in "".join(seen).split("\n")  # a cell of its own


# Each cell that holds the word is to be found as a cell of its own.
TABLES = [
    "Report, made by sales\nA;Zaphod\n",
    'Report, made by sales\n"A";"Zaphod"\n',
    '# exported 2024, by tool, v2\n"Zaphod";"x"\n',
    "# exported 2024, by tool, v2\n#\n\nName;Zaphod\nx;y\nx;y\n",
    'Name;Amount, EUR;Date, local\n"Muller";"1,50";"01.02.2024"\nZaphod;1,50;"Mo, Tu"\n',
    "Name;Amount, EUR;Date, local\nZaphod;1;2",
    "1,5;2,5;Zaphod\n3,5;4,5;b\n",
    "Name\tAmount, EUR\nZaphod\t1,50\nb\t2,50\n",
    "Title | of; it, all\na|b|c\nd|Zaphod|f\n",
    "a,b\nx; y,Zaphod\nw; z,v\n",
    '"Sales; 2024"\n"a; b",Zaphod\n"c; d",e\n',
    "sep=;\na,b;Zaphod\nc,d,e;f\n",
    "sep=,\r\na;b,Zaphod\r\nc;d,e;f\r\n",
    '"sep=|"\na;b|Zaphod\nc;d|e;f\n',
    "SEP=^\na;b,c^Zaphod\n",
    "sep=\t\na;b\tZaphod\n",
    f"{MARK}sep=;\na,b;Zaphod\n",
    f"{MARK}Report, of all\nA;Zaphod\nB;c\n",
    "a;b;Zaphod" + "\nx, y;2;3" * 10_000,
    "Zaphod\n",
]


def seen_cells(data: bytes, step: int, **options: Any) -> tuple[bytes, set[str]]:
    seen: list[str] = []

    def find(text: str) -> list[Finding]:
        seen.append(text)
        return ZAPHOD(text)

    return run(CSV, data, range(step, len(data), step), find=find, **options), set("\n".join(seen).split("\n"))


@pytest.mark.parametrize(
    ("table", "step"),
    [(one, step) for one in TABLES for step in ((1000, 100_000) if len(one) > 1000 else (1, 7, 100_000))],
)
def test_the_delimiter_is_what_parts_most_rows_alike(table: str, step: int) -> None:
    result, cells = seen_cells(table.encode(), step)
    assert result.decode() == hidden(table)
    assert WORD in cells


@pytest.mark.parametrize(
    ("delimiter", "table"),
    [
        (";", "a,b;Zaphod\nc,d\ne,f\n"),
        (",", "a;b,Zaphod\nc;d\ne;f\n"),
        ("\t", "a,b\tZaphod\nc,d\ne,f\n"),
        (":", "a,b:Zaphod\nc,d:e\n"),
        ("^", 'a,b^"Zaphod"\n"^"^e\n'),
        (" ", "a,b Zaphod\n"),
        ("\x1f", "a,b\x1fZaphod\n"),
        (";", "sep=,\na,b;Zaphod\n"),
    ],
)
def test_a_delimiter_that_is_said_is_the_delimiter(delimiter: str, table: str) -> None:
    result, cells = seen_cells(table.encode(), 3, delimiter=delimiter)
    assert result.decode() == hidden(table)
    assert WORD in cells


@given(
    st.lists(st.lists(st.text("ab .'1", max_size=6), min_size=3, max_size=3), min_size=3, max_size=8),
    st.lists(st.text("ab ,'", min_size=1, max_size=20), max_size=2),
    st.sampled_from(";\t|"),
)
def test_titles_and_commas_within_cells_do_not_hide_the_table(
    rows: list[list[str]], titles: list[str], delimiter: str
) -> None:
    rows[-1][1] = WORD
    rows[0] = [f"{cell}, EUR" for cell in rows[0]]
    text = "".join(f"{title}\n" for title in titles) + "".join(delimiter.join(row) + "\n" for row in rows)
    for step in (5, 1000):
        result, cells = seen_cells(text.encode(), step)
        assert (result.decode(), WORD in cells) == (hidden(text), True)


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        cells,
        st.text(max_size=5),
    ),
    lambda children: st.one_of(st.lists(children, max_size=3), st.dictionaries(cells, children, max_size=3)),
    max_leaves=8,
)


def hidden_value(value: object) -> object:
    match value:
        case str():
            return hidden(value)
        case list():
            return [hidden_value(item) for item in value]
        case dict():
            return {hidden(key): hidden_value(item) for key, item in value.items()}
    return value


@given(st.lists(st.one_of(values, st.just("")), max_size=5), cuts, st.booleans(), marks)
def test_ndjson_stays_the_same_line_by_line(
    lines: list[object], cuts: Iterable[int], ascii_only: bool, mark: str
) -> None:
    lines = json.loads(encodable(json.dumps(lines)))
    text = mark + "".join(json.dumps(line, ensure_ascii=ascii_only) + "\n" for line in lines)
    redacted = run(NDJSON, text.encode(), cuts).decode()
    assert redacted.startswith(mark)
    redacted = redacted[len(mark) :]
    assert [json.loads(line) for line in redacted.split("\n")[:-1]] == [hidden_value(line) for line in lines]


def xml_text(text: str) -> str:
    allowed = (c for c in encodable(text) if c in "\t\n\r" or 0x20 <= ord(c) < 0xFFFE or ord(c) >= 0x10000)
    return "".join(allowed)


# What is to be found is also in names of namespaces, which are part of the names and stay.
NAMESPACES = ("", f"{{urn:{WORD}}}", "{http://www.example.com/1}", f"{{https://example.org/{WORD}?a=1&b=<2>}}")


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> ET.Element:
    namespaces = st.sampled_from(NAMESPACES)
    element = ET.Element(draw(namespaces) + draw(st.sampled_from(["a", "b", "été"])))
    names = st.tuples(namespaces, st.sampled_from(["x", "y"])).map("".join)
    element.attrib = draw(st.dictionaries(names, cells.map(xml_text), max_size=3))
    element.text = draw(cells.map(xml_text))
    for _ in range(draw(st.integers(0, 2)) if depth else 0):
        child = draw(trees(depth - 1))
        child.tail = draw(cells.map(xml_text))
        element.append(child)
    return element


def flat(element: ET.Element, change: Callable[[str], str] = str) -> list[object]:
    return [
        (
            node.tag,
            {key: change(value) for key, value in node.attrib.items()},
            change(node.text or ""),
            change(node.tail or ""),
        )
        for node in element.iter()
    ]


@given(trees(), cuts, st.sampled_from(["utf-8", "utf-16", "iso-8859-1"]))
def test_xml_stays_the_same_tree(tree: ET.Element, cuts: Iterable[int], charset: str) -> None:
    source = ET.tostring(tree, encoding=charset, xml_declaration=True)
    read = ET.fromstring(source)  # line ends are normalised by any parser
    assert flat(ET.fromstring(run(XML, source, cuts))) == flat(read, hidden)


@pytest.fixture(scope="module")
def model() -> PresidioModel:
    return load(None)


@pytest.fixture(scope="module")
def found(model: PresidioModel) -> Find:
    return partial(model.find, language="en", min_confidence=0.0)


@settings(max_examples=25)
@given(trees(depth=2), st.sampled_from([*NAMESPACES[1:], None]))
def test_xml_stays_the_same_tree_whatever_the_model_finds(
    found: Find, tree: ET.Element, default_namespace: str | None
) -> None:
    outer = ET.Element("outer", {"mail": "anna@example.com", "xmlns": (default_namespace or "{}")[1:-1]})
    outer.append(tree)
    source = ET.tostring(outer, encoding="utf-8")
    before, after = ET.fromstring(source), ET.fromstring(run(XML, source, find=found))
    assert [(node.tag, list(node.attrib)) for node in after.iter()] == [
        (node.tag, list(node.attrib)) for node in before.iter()
    ]
    assert "anna" not in after.attrib["mail"]


# One text in pieces. What stands between two of them, and whether they are read as one.
PIECES = [
    ("<p>Zap<b>hod</b></p>", "<p>[WORD]<b></b></p>"),
    ("<p><b>Zap</b>hod</p>", "<p><b>[WORD]</b></p>"),
    ("<p>Zap<!-- note -->hod</p>", "<p>[WORD]<!-- note --></p>"),
    ("<p>Zap<?do it?>hod</p>", "<p>[WORD]<?do it?></p>"),
    ("<p>Zap<![CDATA[hod]]></p>", "<p>[WORD]</p>"),
    ("<p>Zap&#104;od</p>", "<p>[WORD]</p>"),
    ("<p>&amp;Zap<i/>hod &lt;</p>", "<p>&amp;[WORD]<i></i> &lt;</p>"),
    ("<p><t>Zap</t><t>hod</t></p>", "<p><t>[WORD]</t><t></t></p>"),
    ("<p><b>Zap</b><i>hod</i></p>", "<p><b>[WORD]</b><i></i></p>"),
    ("<p>by <x>Zap</x><y>hod</y></p>", "<p>by <x>[WORD]</x><y></y></p>"),
    ("<p>Z<b>a<i>p</i>h</b>o<u>d</u>!</p>", "<p>[WORD]<b><i></i></b><u></u>!</p>"),
    (
        '<w:p xmlns:w="urn:w"><w:r><w:t>Zap</w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>hod</w:t></w:r></w:p>',
        '<w:p xmlns:w="urn:w"><w:r><w:t>[WORD]</w:t></w:r><w:r><w:rPr><w:b></w:b></w:rPr><w:t></w:t></w:r></w:p>',
    ),
    ("<p>Zaphod<b>Zaphod</b>Zap<b>hod</b></p>", "<p>[WORD]<b>[WORD]</b>[WORD]<b></b></p>"),
    ('<p>Zap<b x="hod">h</b>od</p>', '<p>[WORD]<b x="hod"></b></p>'),
]
APART = [
    "<p><first>Zap</first><last>hod</last></p>",
    "<p><first>Zap</first>\n<last>hod</last></p>",
    "<r>\n <c>Zap</c>\n <c>hod</c>\n</r>",
    "<r><c><v>Zap</v></c><d><v>hod</v></d></r>",
    "<r><name>Zap<!-- --></name><note>hod</note></r>",
    '<p x="Zap" y="hod"/>',
    "<p><!--Zap--><!--hod--></p>",
    "<p><?do Zap?>hod</p>",
]


@pytest.mark.parametrize(("source", "expected"), PIECES)
def test_pieces_of_one_text_are_searched_as_one(source: str, expected: str) -> None:
    for cuts in ((), range(1, len(source))):
        assert run(XML, source.encode(), cuts).decode() == expected


@pytest.mark.parametrize("source", APART)
def test_fields_of_a_record_are_searched_apart(source: str) -> None:
    before, after = ET.fromstring(source), ET.fromstring(run(XML, source.encode()))
    assert flat(after) == flat(before)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # What is found in a piece by itself stays found, though nothing of the kind is in the text as one.
        ("<l><m>ann@x.org</m><m>bob@y.org</m></l>", "<l><m>[EMAIL_ADDRESS]</m><m>[EMAIL_ADDRESS]</m></l>"),
        ("<p><b>SSN</b>219-09-9999</p>", "<p><b>SSN</b>[US_SSN]</p>"),
        ("<p>219-09<b>-9999</b></p>", "<p>[US_SSN]<b></b></p>"),
        ("<p><b>anna</b>@example.com</p>", "<p><b>[EMAIL_ADDRESS]</b></p>"),
        ("<p>anna@<b>example</b>.com</p>", "<p>[EMAIL_ADDRESS]<b></b></p>"),
        ("<p>4111 <i>1111</i> 1111 1111</p>", "<p>[CREDIT_CARD]<i></i></p>"),
        ("<p>DE89<!-- x -->370400440532013000</p>", "<p>[IBAN_CODE]<!-- x --></p>"),
        (
            "<p><t>219-09</t><t>-9999</t> <b>anna</b>@example.com 4111 <i>1111</i> 1111 1111</p>",
            "<p><t>[US_SSN]</t><t></t> <b>[EMAIL_ADDRESS]</b> [CREDIT_CARD]<i></i></p>",
        ),
    ],
)
def test_the_model_sees_pieces_as_one_and_one_by_one(model: PresidioModel, source: str, expected: str) -> None:
    find = partial(model.find, language="en", min_confidence=0.35)
    assert run(XML, source.encode(), find=find).decode() == expected


TAGS = [
    "<b>{}</b>",
    "<t>{}</t>",
    "<x y='1'>{}</x>",
    "{}<!-- c -->",
    "{}<?pi c?>",
    "<![CDATA[{}]]>",
    "{}<br/>",
    "<i><u>{}</u></i>",
]


@given(st.lists(st.tuples(st.text("Zaphod ", max_size=3), st.sampled_from(TAGS)), max_size=12), cuts, st.data())
def test_a_value_is_found_however_it_is_split(
    between: list[tuple[str, str]], cuts: Iterable[int], data: st.DataObject
) -> None:
    """In mixed content the text that remains is the text, redacted."""
    parts: list[str] = []
    text = "the"  # an element that has text of its own
    for other, tag in between:
        places = sorted({0, len(WORD), *data.draw(st.lists(st.integers(0, len(WORD)), max_size=3))})
        values = [WORD[start:end] for start, end in itertools.pairwise(places)]
        parts += [tag.format(value) for value in values] + [other]
        text += WORD + other
    source = f"<p>the{''.join(parts)}</p>"
    result = run(XML, source.encode(), cuts)
    before, after = ET.fromstring(source), ET.fromstring(result)
    assert "".join(after.itertext()) == hidden(text)
    assert [(node.tag, node.attrib) for node in after.iter()] == [(node.tag, node.attrib) for node in before.iter()]


def test_a_value_is_found_over_any_number_of_pieces_and_windows() -> None:
    letters = ["<b>{}</b>", "{}", "<!-- {} -->{}"]
    long = "lorem ipsum " * 40
    words = "".join(letters[n % 3].replace("{}", c) for n, c in enumerate(f"{WORD} {long}" * 50))
    result = ET.fromstring(run(XML, f"<p>a {words}</p>".encode()))
    assert "".join(result.itertext()) == f"a {hidden(WORD)} {long}" + f"{HIDDEN} {long}" * 49


def test_what_lies_between_two_pieces_may_be_long() -> None:
    for between in ("<i></i>" * 5_000, f"<!--{'x' * 1_000_000}-->", '<i y=""></i>' * 3_000):
        source = f"<p>Zap{between}hod</p>"
        assert run(XML, source.encode(), range(0, len(source), 65536)).decode() == f"<p>[WORD]{between}</p>"


def test_xml_comments_instructions_and_cdata_are_searched() -> None:
    source = f"<?xml version='1.0' standalone='yes'?><a><!-- {WORD} --><?do {WORD} ?><![CDATA[<{WORD}>]]></a>"
    assert run(XML, source.encode()).decode() == (
        '<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n'
        f"<a><!-- {HIDDEN} --><?do {HIDDEN} ?>&lt;{HIDDEN}&gt;</a>"
    )


# Names that documents and senders have for charsets, and what is written in each.
NAMED = [
    ("Shift_JIS", "日本"),
    ("windows-31j", "日本①"),
    ("EUC-JP", "日本"),
    ("GB2312", "中文"),
    ("GBK", "中文镕"),
    ("GB18030", "中文\U0001f600"),
    ("Big5", "中文"),
    ("EUC-KR", "한글"),
    ("ks_c_5601-1987", "한글"),
    ("ISO-8859-1", "né"),
    ("ISO-8859-2", "łódź"),
    ("iso-8859-15", "né€"),
    ("windows-1252", "né€"),
    ("windows-1251", "Привет"),
    ("KOI8-R", "Привет"),
    ("ISO-8859-8", "שלום"),
    ("windows-1256", "سلام"),
    ("TIS-620", "ไทย"),
    ("macintosh", "né"),
    ("IBM850", "né"),
    ("US-ASCII", "ne"),
    ("UTF-8", "né\U0001f600"),
]
WIDE = ["UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "UTF-32LE", "UTF-32BE", "ISO-10646-UCS-2"]


def expected_xml(text: str) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n<p>{text} {HIDDEN}</p>'


def codec(name: str) -> str:
    found = find_charset(name)
    assert found, name
    return found


@pytest.mark.parametrize(("name", "text"), NAMED)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_xml_in_any_charset_it_declares_comes_back_in_utf_8(name: str, text: str, step: int) -> None:
    for quote in "\"'":
        source = f"<?xml version={quote}1.0{quote} encoding={quote}{name.lower()}{quote} ?>\n<p>{text} {WORD}</p>"
        data = source.encode(codec(name))
        assert run(XML, data, range(step, len(data), step)).decode() == expected_xml(text)
    bare = f"<p>{text} {WORD}</p>".encode(codec(name))  # what the transport says of it is enough
    assert run(XML, bare, charset=codec(name)).decode() == f"<p>{text} {HIDDEN}</p>"


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("mark", [b"", b"mark"])
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_xml_in_wide_characters_tells_them_by_its_first_bytes(name: str, mark: bytes, step: int) -> None:
    for form in ("utf-16-le", "utf-16-be") if "32" not in name else ("utf-32-le", "utf-32-be"):
        if (name.endswith("LE") and form.endswith("be")) or (name.endswith("BE") and form.endswith("le")):
            continue
        for declaration in (f'<?xml version="1.0" encoding="{name}"?>', '<?xml version="1.0"?>'):
            source = f"{declaration}<p>né日 {WORD}</p>"
            data = ((MARK if mark else "") + source).encode(form)
            for charset in (None, codec(name)):
                assert run(XML, data, range(step, len(data), step), charset).decode() == expected_xml("né日")
    assert run(XML, f"{MARK}<a>{WORD}</a>".encode("utf-32-be")).decode() == f"<a>{HIDDEN}</a>"


def test_a_byte_order_mark_goes_before_what_else_says_the_charset() -> None:
    data = f'{MARK}<?xml version="1.0" encoding="iso-8859-1"?><p>né {WORD}</p>'
    for form in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
        assert run(XML, data.encode(form), charset="cp1252").decode() == expected_xml("né")
    data = f'<?xml version="1.0" encoding="utf-8"?><p>né {WORD}</p>'
    assert run(XML, data.encode("latin-1"), charset="iso8859-1").decode() == expected_xml("né")


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b'<?xml version="1.0" encoding="ISO-2022-JP"?><a/>', 415, "ISO-2022-JP is not supported"),
        (b'<?xml version="1.0" encoding="UTF-7"?><a/>', 415, "UTF-7 is not supported"),
        (b'<?xml version="1.0" encoding="hz-gb-2312"?><a/>', 415, "HZ-GB-2312 is not supported"),
        (b'<?xml version="1.0" encoding="Big5-HKSCS"?><a/>', 415, "BIG5-HKSCS is not supported"),
        ('<?xml version="1.0" encoding="IBM037"?><a/>'.encode("cp037"), 415, "EBCDIC is not supported"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', 415, "The encoding is not known"),
        (b'<?xml version="1.0" encoding="base64"?><a/>', 415, "The encoding is not known"),
        (b'<?xml version="1.0" encoding="a b"?><a/>', 415, "The encoding is not known"),
        (b'<?xml version="1.0" encoding="\0"?><a/>', 415, "The encoding is not known"),
        (b'<?xml version="1.0" encoding="\xff"?><a/>', 415, "The encoding is not known"),
        (b'<?xml version="1.0" encoding=""?><a/>', 415, "The encoding is not known"),
        (b'<?xml version="1.0" encoding="UTF-16"?><a/>', 422, "declares UTF-16"),
        (b'<?xml version="1.0" encoding="utf-32be"?><a/>', 422, "declares UTF-32BE"),
        (b'<?xml version="1.0" encoding="' + b"u" * 1_000_000 + b'"?><a/>', 422, "declaration has more than"),
        (b'<?xml version="1.0"' + b" " * 1_000_000 + b"?><a/>", 422, "declaration has more than"),
        (b'<?xml version="1.0" encoding="Shift_JIS"?><a>\x93\xfa\x85 </a>', 422, "not valid Shift_JIS"),
        (b'<?xml version="1.0" encoding="GB2312"?><a>\xd6', 422, "not valid GB18030"),
        (b"<a>\xff</a>", 422, "not valid UTF-8"),
    ],
)
def test_an_encoding_that_is_not_read_is_named(data: bytes, status: int, reason: str) -> None:
    for step in (1, 100, 65536):
        if step == 1 and len(data) > 1000:
            continue
        with pytest.raises(DocumentError) as refused:
            run(XML, data, range(step, len(data), step))
        assert (refused.value.status_code, reason in str(refused.value.detail)) == (status, True), refused.value.detail


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"<?xml version='1.0' encoding='", b"\xff\xfe", b"\0\0\xfe\xff"]),
    cuts,
)
def test_any_bytes_are_a_document_or_refused(data: bytes, head: bytes, cuts: Iterable[int]) -> None:
    for kind in (XML, CSV, NDJSON, TEXT):
        assert outcome(kind, head + data, cuts) == outcome(kind, head + data)


@example("Shift_JIS", "¢", [])
@example("Big5", "£", [])
@example("EUC-JP", "¥", [])
@given(st.sampled_from([name for name, _ in NAMED]), cells.map(xml_text), cuts)
def test_a_declared_charset_changes_nothing_but_the_bytes(name: str, text: str, cuts: Iterable[int]) -> None:
    source = ET.Element("p")
    source.text = text
    body = ET.tostring(source, encoding="unicode").encode(codec(name), "xmlcharrefreplace")
    data = f'<?xml version="1.0" encoding="{name}"?>'.encode() + body
    # As it is read again: some characters share their bytes with a wider one (the cent sign in Shift_JIS).
    assert flat(ET.fromstring(run(XML, data, cuts))) == flat(ET.fromstring(body.decode(codec(name))), hidden)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_xml_version_stays(version: str) -> None:
    assert run(XML, f'<?xml version="{version}"?><a/>'.encode()).startswith(f'<?xml version="{version}" '.encode())


@pytest.mark.parametrize("version", ["219-09-9999", WORD, "1.4111111111111111", "2.0", "1", "1.0-219"])
def test_an_xml_version_says_nothing_else(version: str) -> None:
    with pytest.raises(DocumentError) as refused:
        run(XML, f'<?xml version="{version}"?><a/>'.encode())
    assert version not in str(refused.value.detail)


def test_an_escaped_carriage_return_stays_one() -> None:
    source = b"<a x='&#13;&#10;&#9;'>&#13;\n</a>"
    assert flat(ET.fromstring(run(XML, source))) == flat(ET.fromstring(source))


def test_what_is_not_redacted_stays_to_the_character() -> None:
    assert run(CSV, b'a;"b ""c""" ;d\r\n5" pipe;\r'.replace(b'" ;', b'";')) == b'a;"b ""c""";d\r\n5" pipe;\r'
    line = b' {"a" :1.50, "b":"caf\\u00e9\\/", "c":1e400}\r\n\n [] '
    assert run(NDJSON, line) == line


def test_a_number_that_is_a_finding_becomes_a_string() -> None:
    line = b'{"card": 4111, "n": 4112, "4111": -4111}\n'
    assert run(NDJSON, line, find=words("4111")) == b'{"card": "[WORD]", "n": 4112, "[WORD]": "-[WORD]"}\n'


def test_half_a_surrogate_pair_reaches_no_model() -> None:
    def find(text: str) -> list[Finding]:
        text.encode()
        return words(WORD)(text)

    assert run(NDJSON, b'["\\ud800", "\\ud800 Zaphod"]', find=find) == b'["\\ud800", "\\ud800 [WORD]"]'


def test_a_finding_over_two_cells_is_redacted_in_both() -> None:
    def find(text: str) -> list[Finding]:
        start = text.find("11\n22")
        return [Finding(start, start + 5, "CARD", 1.0)] if start >= 0 else []

    assert run(CSV, b"x11,22y\n", find=find) == b"x[CARD],[CARD]y\n"


BOMB = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>'
BROKEN = [
    (XML, BOMB, "Document type"),
    (XML, b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "Document type"),
    (XML, b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "Document type"),
    (XML, b"<a>&x;</a>", "well-formed"),
    (XML, b"<a><b></a>", "well-formed"),
    (XML, b"<a>", "well-formed"),
    (XML, b"", "well-formed"),
    (XML, b"<a/><b/>", "well-formed"),
    (XML, b"<a>" * 1001, "nested"),
    (XML, b"<a>" + b"".join(b"<n%d/>" % n for n in range(10_100)) + b"</a>", "names"),
    (XML, b"<a x='" + b"y" * (2 * document.MAX_UNIT) + b"'/>", "tag has more"),
    (XML, b"<a>" + b"y" * (2 * document.MAX_UNIT) + b"</a>", "text has more"),
    (CSV, b'a,"b', "quote is not closed"),
    (CSV, b'a,"b""', "quote is not closed"),
    (CSV, b'a,"b"c', "after a closing quote"),
    (CSV, b'a,"' + b"y" * (document.MAX_UNIT + 1), "cell has more"),
    (NDJSON, b"{\n", "not valid JSON"),
    (NDJSON, b"[NaN]\n", "not valid JSON"),
    (NDJSON, f"1\n{MARK}1\n".encode(), "not valid JSON"),
    (NDJSON, b"[" * 100_000, "nested"),
    (NDJSON, b"1" * 5000, "not valid JSON"),
    (NDJSON, b'"' + b"y" * (document.MAX_UNIT + 1), "line has more"),
    (TEXT, b"\xff", "not valid UTF-8"),
    (TEXT, b"\xc3", "not valid UTF-8"),
]


@pytest.mark.parametrize(("kind", "data", "reason"), BROKEN)
def test_what_is_broken_or_too_large_is_refused(kind: str, data: bytes, reason: str) -> None:
    with pytest.raises(DocumentError) as refused:
        run(kind, data, range(0, len(data), 65536))
    assert reason in str(refused.value.detail)


@pytest.mark.parametrize("kind", [TEXT, CSV, TSV, NDJSON, XML])
@pytest.mark.parametrize("charset", [None, "utf-8", "iso8859-1", "cp1252", "ascii"])
@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_what_is_in_a_wider_charset_than_it_says_is_refused(kind: str, charset: str | None, name: str) -> None:
    source = {NDJSON: '{"a": "Zaphod"}\n', XML: "<?xml version='1.0' encoding='utf-8'?><a>Zaphod</a>"}
    data = source.get(kind, "Zaphod,é\n").replace("é", "" if charset in (None, "utf-8", "ascii") else "é").encode(name)
    if kind == XML and charset is None:  # its first bytes tell
        assert hidden("<a>Zaphod</a>") in run(kind, data).decode()
        return
    for cuts in ((), range(len(data))):
        with pytest.raises(DocumentError):
            run(kind, data, cuts, charset)


@pytest.mark.parametrize("kind", [TEXT, CSV, TSV, NDJSON])
@pytest.mark.parametrize("name", sorted(charset_names.CHARSETS))
def test_a_nul_is_refused_in_any_charset(kind: str, name: str) -> None:
    with pytest.raises(DocumentError, match="NUL"):
        run(kind, "1\0".encode(name), charset=name)


@pytest.mark.parametrize("kind", [TEXT, CSV, TSV])
@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_bytes_of_either_order_are_refused_without_a_mark(kind: str, name: str) -> None:
    for order in ("le", "be"):
        data = "Zaphod".encode(f"{name}-{order}")
        for cuts in ((), range(len(data))):
            with pytest.raises(DocumentError, match="no byte order mark"):
                run(kind, data, cuts, name)
            assert run(kind, f"\ufeff{'Zaphod'}".encode(f"{name}-{order}"), cuts, name).decode(name) == hidden("Zaphod")
    assert run(kind, b"", (), name).decode(name) == ""


def test_nothing_in_an_error_is_from_the_document() -> None:
    for kind, data in [(XML, b"<a>Marker"), (CSV, b'"Marker'), (NDJSON, b"Marker"), (TEXT, b"Marker\xff")]:
        with pytest.raises(DocumentError) as refused:
            run(kind, data)
        assert "Marker" not in f"{refused.value!r} {refused.value.__cause__!r}"


def test_every_format_is_searched_by_windows_not_by_cell() -> None:
    calls: list[int] = []

    def find(text: str) -> list[Finding]:
        calls.append(len(text))
        return []

    run(CSV, b"abc,def\n" * 5000, find=find)
    assert max(calls) <= 2048 + 64
    assert len(calls) <= 25


def test_only_charsets_every_byte_of_which_is_text() -> None:
    names = {"UTF8": "utf-8", "latin1": "iso8859-1", "windows-1252": "cp1252", "sjis": "cp932", "x-gbk": "gb18030"}
    assert {name: find_charset(name) for name in names} == names
    # Those that have other states, or are no charsets, or names at all.
    refused = [
        "klingon",
        "base64",
        "utf-7",
        "idna",
        "rot13",
        "iso-2022-jp",
        "hz",
        "unicode_escape",
        "mbcs",
        "",
        " ",
        "\0",
    ]
    refused += ["utf\0", "utf-8\n", "ütf-8", "utf-8" * 100, "undefined", "punycode", "raw_unicode_escape", "oem"]
    assert [find_charset(name) for name in refused] == [None] * len(refused)
    assert all(codecs.lookup(name).name == name for name in charset_names.CHARSETS)
    assert all(find_charset(label) == name for name, label in charset_names.CHARSETS.items())


@given(st.text(max_size=50))
def test_any_name_of_a_charset_is_known_or_not(name: str) -> None:
    assert find_charset(name) in {None, *charset_names.CHARSETS}


def test_names_of_charsets_leave_nothing_behind() -> None:
    """Python remembers every name that it was ever asked for."""
    before = len(encodings._cache)
    for n in range(100):
        assert find_charset(f"klingon-{n}") is None
        assert outcome(XML, f'<?xml version="1.0" encoding="vulcan{n}"?><a/>'.encode()) is None
    assert len(encodings._cache) == before


def test_every_format_has_its_media_types() -> None:
    assert set(MEDIA_TYPES) == {TEXT, CSV, TSV, NDJSON, XML, TEXT_XML}
    assert ndjson.SCALAR.findall('{"a":-1.5e3}') == ['"a"', "-1.5e3"]
    assert xml_format.MAX_DEPTH == 1000
