"""E-mail addresses of any domain, and URLs, IP addresses and phone numbers that are ones."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.privacy.findings import redact
from api.privacy.scanner import scan
from tests.support.model import THRESHOLD, blank, found, redacted

ADDRESSES = [
    "anna@firma.local",
    "root@localhost",
    "ops@host.lan",
    "x@db01.internal",
    "root@intranet.corp",
    "a@b.example",
    "admin@server",
    "backup@nas-2.home.arpa",
    "a@b.c",
    "anna@example.photography",
    "anna@example.xn--vermgensberatung-pwb",
    "anna@münchen.de",
    "пётр@почта.рф",
    "用户@例子.广告",
    "root@[192.0.2.1]",
    "root@[IPv6:2001:db8::1]",
    "root@10.0.0.1",
    '"anna smith"@example.com',
    '"a@b"@host.lan',
    r'"a\"b"@x.org',
    r'"a\\"@x.org',
    r'"\"\ \@"@host.lan',
    "संपर्क@डाटामेल.भारत",
    "ติดต่อ@โดเมน.ไทย",
    "first.last+tag@sub-domain.example.co.uk",
    "o'brien@example.ie",
    "!#$%&*+-/=?^_`{|}~@example.org",
    "_@host",
    "a..b@example.com",
    "a_b@ex_ample.com",
    "x" * 64 + "@" + "y" * 63 + ".example",
]
AROUND = [
    ("", ""),
    ("<", ">"),
    ("'", "'"),
    ('"', '"'),
    ("(", ")"),
    ("*", "*"),
    ("mailto:", ""),
    ("Mail ", "."),
    ("", ", ok"),
]
NO_ADDRESSES = [
    "3@4.50",
    "3@4.5.6.7.8",
    "actions/checkout@v1.0.8",
    "pkg@1.2",
    "lodash@4.x.1",
    "react@next.canary.18",
    "app@release.candidate.2",
    "meet @ noon",
    "@anna",
    "anna@",
    "anna@ example",
    "@@",
    "a@-",
    "a@.b",
    "10@5",
    '"@"',
    "a@[x",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_of_any_domain_is_found_whole(address: str) -> None:
    for before, after in AROUND:
        if address[0] in "!_" and before:
            continue  # then the quote or bracket may be the address's own
        assert redacted(f"{before}{address}{after}") == f"{before}[EMAIL_ADDRESS]{after}", (before, after)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_an_at_alone_is_no_address(text: str) -> None:
    assert found(text) == []


def test_addresses_in_a_row_are_apart() -> None:
    assert found(" ".join(ADDRESSES)) == [("EMAIL_ADDRESS", address) for address in ADDRESSES]
    assert redacted("anna@firma.local root@localhost ops@host.lan x@db01.internal") == " ".join(["[EMAIL_ADDRESS]"] * 4)


def test_the_domain_says_how_likely_an_address_is() -> None:
    scores = {
        address: finding.score
        for address in ("a@example.com", "a@[192.0.2.1]", "a@firma.local", "root@localhost")
        for finding in blank("en").find(address, "en", 0)
    }
    assert scores == {"a@example.com": 1.0, "a@[192.0.2.1]": 1.0, "a@firma.local": 0.85, "root@localhost": 0.5}


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
names = st.from_regex(r"[a-z0-9]([a-z0-9.+_-]{0,6}[a-z0-9])?", fullmatch=True)


@given(names, st.lists(labels, max_size=3), st.from_regex(r"[a-z]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True))
@example("a", [], "b")
def test_any_rfc_5321_mailbox_is_found_whole(name: str, before: list[str], last: str) -> None:
    address = f"{name}@{'.'.join([*before, last])}"
    assert redacted(f"to {address}, please") == "to [EMAIL_ADDRESS], please"


URLS = [
    "https://example.org/x",
    "HTTP://EXAMPLE.ORG",
    "ftp://user:secret@host/x",
    "http://localhost:8000/a?b=c#d",
    "http://192.0.2.1/x",
    "https://[2001:db8::1]:8443/",
    "https://example.org/a_(b)",
    "https://example.org/a?b=(c)&d=[e]",
    "https://例え.jp/パス",
    "www.example.org",
    "www.intranet",
    "WWW.EXAMPLE.DE/x",
    "example.com",
    "example.com:8080",
    "bbc.co.uk/news",
    "Example.com",
    "EXAMPLE.COM",
    "münchen.de",
    "xn--mnchen-3ya.de",
    "sub.domain.example.io",
    "amazon.it",
    "example.dev",
    "script.pl/index",
    "example.name/anna?x=1",
]
AROUND_URLS = [
    ("", ""),
    ("see ", "."),
    ('"', '"'),
    ("'", "'"),
    ("(", ")"),
    ("<", ">"),
    ("“", "”"),
    ("`", "`"),
    ("", ", and"),
    ("", "!"),
    ("[", "]"),
    ("", "; x"),
]
NO_URLS = [
    "see main.py and os.system",
    "We met in the park.It was late.So we left.",
    "grade.Later he",
    "the end.Is it",
    "README.md",
    "run build.sh or script.pl",
    "lib.rs, a.cc, x.so",
    "user.name and self.id",
    "re.search(x)",
    "logger.info(x)",
    "match.group(1)",
    "response.email",
    "System.Net",
    "ASP.NET",
    "e.g. this, i.e. that, z.B. das",
    "U.S. law",
    "a.m. or p.m.",
    "Ph.D.",
    "1.5 to 3.14",
    "v1.2.3",
    "index.html",
    "node.js",
    "docs/main.py:12",
    "x..com",
    "...",
    "yes.No",
    "park.me too",
    "row.to",
    "df.at[0]",
    "they went.to the",
    "com.example.app",
    "com.google.cloud",
    "org.example.shop",
    "a.b.c.d",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_found_without_what_is_around_it(url: str) -> None:
    for before, after in AROUND_URLS:
        assert redacted(f"{before}{url}{after}") == f"{before}[URL]{after}", (before, after)


@pytest.mark.parametrize("text", NO_URLS)
def test_files_attributes_and_sentences_are_no_urls(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.com.Later he", "[URL].Later he"),
        ("anna@example.com.Later he", "[EMAIL_ADDRESS].Later he"),
        ("example.com-based", "[URL]-based"),
        ("example.com.3 days later", "[URL].3 days later"),
        ("www.example.com.2 See also", "[URL].2 See also"),
        ("example.com.Later.2", "[URL].Later.2"),
        ("libfoo.so.1 and app.1.2", "libfoo.so.1 and app.1.2"),
        ("www.example.com.2: see, www.example.com.2? No", "[URL].2: see, [URL].2? No"),
        ("www.example.com.2/secret, www.a.de.1?email=x", "[URL], [URL]"),
        ("www.example.com.2#secret, www.example.com.2:8080/x", "[URL], [URL]"),
        ("example.com.2/path?user=anna&token=abc", "[URL]"),
        ("example.com.1.2:8080/path", "[URL]"),
        ("1.2.3/4, de.2/x, a.b.2/c", "1.2.3/4, de.2/x, a.b.2/c"),
        ("anna@example.com.2 See also", "[EMAIL_ADDRESS].2 See also"),
        ("anna@example.com.3 days later", "[EMAIL_ADDRESS].3 days later"),
        ("anna@firma.local.12.5 %", "[EMAIL_ADDRESS].12.5 %"),
        ("anna@example.com.Later.2", "[EMAIL_ADDRESS].Later.2"),
        ("anna@4you.example.2, x@1.example", "[EMAIL_ADDRESS].2, [EMAIL_ADDRESS]"),
        ("root@10.0.0.1, root@10.0.0.1.", "[EMAIL_ADDRESS], [EMAIL_ADDRESS]."),
        ("the website main.py", "the website [URL]"),
        ("https://a.example,https://b.example", "[URL]"),
        ("//example.com/x", "//[URL]"),
        ("postgres://u:p@db.internal/x", "[EMAIL_ADDRESS]"),
        ("x@example.com/y", "[EMAIL_ADDRESS]/y"),
    ],
)
def test_where_a_url_ends(text: str, expected: str) -> None:
    assert redacted(text) == expected


@given(
    st.from_regex(r"(?!www)[a-z]{2,8}", fullmatch=True),
    st.sampled_from(["It", "So", "In", "At", "Is", "No", "To", "Me", "Later", "We", "De", "Then", "Info", "Name"]),
)
def test_a_missing_space_after_a_full_stop_makes_no_url(word: str, following: str) -> None:
    assert found(f"the {word}.{following} he") == []


@pytest.mark.parametrize(
    "value",
    [
        "192.0.2.1",
        "192.0.2.0/24",
        "0.0.0.0",
        "10.0.0.0",
        "2001:db8::1",
        "fe80::1",
        "fe80::1%eth0",
        "::1",
        "2001:db8::/32",
        "::ffff:192.0.2.1",
        "1:2:3:4:5:6:7:8",
        "fd00::a",
        "FE80::ABCD",
    ],
)
def test_an_address_somebody_can_have_is_found(value: str) -> None:
    for before, after in [("", ""), ("at ", "."), ("[", "]"), ("(", ")"), ("_", "_"), ("", ", x")]:
        if before == "_" and ":" in value:
            continue
        assert redacted(f"{before}{value}{after}") == f"{before}[IP_ADDRESS]{after}", (before, after)


@pytest.mark.parametrize(
    "text",
    [
        "a::b",
        "std::vector",
        "dead::beef",
        "Foo::Bar",
        "abc::def()",
        "::",
        "x[::1]",
        "x[::2]",
        "12:30:45",
        "10:15",
        "1.2.3.4.5",
        "1.2.3",
        "256.1.1.1",
        "a:b:c",
        "v1.2.3.4",
        "face::",
        "c::d::e",
        "::a",
        "1::",
        "version 1.2.3.4",
        "Version: 10.0.0.1",
        "build 6.1.0.2, release 4.3.2.1",
        "Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0",
    ],
)
def test_names_clocks_and_versions_are_no_ip_addresses(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "value",
    [
        "+1 212 555 0123",
        "+12125550123",
        "+44 20 7946 0958",
        "+44 (0)20 7946 0958",
        "0044 20 7946 0958",
        "(212) 555-0123",
        "212-555-0123",
        "212.555.0123",
        "1-800-555-0199",
        "020 7946 0958",
        "0207 946 0958",
        "030 1234567",
        "(030) 123 45 67",
        "0171/1234567",
        "01 42 68 53 00",
        "052-123-4567",
        "98765 43210",
        "(11) 91234-5678",
        "+81 3-1234-5678",
        "212-555-0123 ext. 12",
    ],
)
def test_a_number_with_evidence_is_a_phones(value: str) -> None:
    for before, after in [("", ""), ("at ", "."), ("(", ")"), ("tel:", ""), ("", ", ok")]:
        if before == "(" and value[0] == "(":
            continue
        assert redacted(f"{before}{value}{after}") == f"{before}[PHONE_NUMBER]{after}", (before, after)


@pytest.mark.parametrize(
    "text",
    [
        "order 2125550123",
        "Your order number is 2125550123",
        "2125550123",
        "Please call us about order number 2125550123",
        "invoice 0301234567",
        "order 9434765919",
        "Order no.: 4010232137",
        "Bestellung 9434765919",
        "ISBN 0306406152",
        "id=4420794609",
        "ticket 12125550123",
        "ISBN 0-306-40615-2",
        "1 2 3 4 5 6 7 8 9 10 11 12",
        "in 2019 2020 2021",
        "100 200 300 400",
        "10 000 000 km",
        "1234-5678",
        "x2125550123",
        "2125550123x",
    ],
)
def test_digits_alone_are_no_phone_number(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "call 2125550123",
        "My phone number is 2125550123",
        "Tel.: 0301234567",
        "cell=2125550123",
        "order it: call 2125550123",
    ],
)
def test_digits_with_a_word_that_says_so_are_a_phone_number(text: str) -> None:
    assert [kind for kind, _ in found(text)] == ["PHONE_NUMBER"]


@given(
    st.lists(st.sampled_from(["212-555-0123", "+1 212 555 0123", "(212) 555-0123", "020 7946 0958"]), min_size=1),
    st.sampled_from([" ", ", ", "; ", "\n", " / "]),
)
def test_numbers_in_a_row_are_all_found(numbers: list[str], joint: str) -> None:
    assert redacted(joint.join(numbers)) == joint.join(["[PHONE_NUMBER]"] * len(numbers))


@pytest.mark.parametrize("run", [".", ",", "_", "*", ":", "!", ")", "。", "\u200b", ".)*"])
@pytest.mark.parametrize("size", [300, 400, 2100, 7000])
@pytest.mark.parametrize("before", ["", "see "])
def test_a_url_goes_on_after_a_run_that_meets_a_windows_end(run: str, size: int, before: str) -> None:
    url = f"https://a.example/{'a' * 1700}{(run * size)[:size]}secret=1234567/tail"
    pieces = scan(f"{before}{url}. Then", lambda window: blank("en").find(window, "en", THRESHOLD))
    left = "".join(redact(*piece) for piece in pieces)
    assert left.replace("[URL]", "") == f"{before}. Then"


@pytest.mark.parametrize("size", [100, 1000, 1790, 1791, 1792, 1793, 2020, 2047, 2048, 3000, 10_000])
@pytest.mark.parametrize("filler", ["A", "a.", "(a)", "&b=", "%20", "漢"])
@pytest.mark.parametrize(("before", "after"), [("", ""), ("see ", " now"), ("(", ") and"), ('{"a":"', '","b":"x"}')])
def test_a_url_longer_than_a_window_is_covered_whole(size: int, filler: str, before: str, after: str) -> None:
    long = filler * (size // len(filler))
    text = f"{before}https://example.com/login?x={long}&user=anna.smith&token=SECRET{after}"
    pieces = list(scan(text, lambda window: blank("en").find(window, "en", THRESHOLD)))
    assert "".join(piece.text for piece in pieces) == text
    left = "".join(redact(*piece) for piece in pieces)
    assert left.replace("[URL]", "") == before + after
