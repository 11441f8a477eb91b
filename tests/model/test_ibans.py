"""IBANs of every country, in whatever groups and whatever stands around them."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from presidio_analyzer.predefined_recognizers.generic.iban_patterns import regex_per_country

from api.privacy.recognizers.iban import FORMATS, IbanSearch, is_valid
from api.privacy.recognizers.limit import Budget
from tests.support.model import redacted

# Those of SWIFT's registry that Presidio's formats leave out, cut short or have otherwise, and some others.
PUBLISHED = [
    "AZ22UBAZ01922929141040AZN002",
    "BI4210000100010000332045181",
    "DJ2100010000000154000100186",
    "FK88SC123456789012",
    "HN88CABF00000000000250005469",
    "JO94CBJO0010000000000131000302",
    "MN121234123456789123",
    "MU17BOMM0101101030300200000MUR",
    "NI45BAPR00000013000003558124",
    "OM810180000001299123456",
    "PS92PALS000000000400123456702",
    "PT50000201231234567890154",
    "QA58DOHB00001234567890ABCDEFG",
    "RU0304452522540817810538091310419",
    "SD8811123456789012",
    "SO211000001001000100141",
    "ST23000100010051845310146",
    "SV62CENR00000000000000700025",
    "YE15CBYE0001018861234567891234",
    "BE68539007547034",
    "CR05015202001026284066",
    "DE89370400440532013000",
    "ES9121000418450200051332",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "LT121000011101001000",
    "MT84MALT011000012345MTLCAST001S",
    "NO9386011117947",
    "SC18SSCB11010000000000001497USD",
]
FOLLOWING = [
    "",
    " 2024",
    " 1500 EUR",
    " EUR",
    " GKCCBEBB",
    " AB",
    " 1",
    " BE71096123456769",
    "-2024",
    " and so on",
    "und",
    ".",
    ", BIC GKCCBEBB",
    "/1",
    "\n1500",
]
CAPITALS = ["EUR", "Betrag", "X"]
"""What may follow an IBAN that ends in digits: one that ends in letters might go on with them."""


def searched(text: str) -> list[str]:
    """Return the IBANs in a text, whatever else is there."""
    return [text[start:end] for start, end, _ in IbanSearch("en").search(text, Budget())]


def grouped(iban: str, joint: str = " ") -> str:
    return joint.join(iban[place : place + 4] for place in range(0, len(iban), 4))


@st.composite
def ibans(draw: st.DrawFn) -> str:
    """Make an IBAN of any country."""
    country = draw(st.sampled_from(sorted(FORMATS)))
    alphabets = {"n": "0123456789", "a": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "c": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    account = "".join(
        draw(st.text(alphabets[kind], min_size=int(count), max_size=int(count)))
        for count, kind in regex.findall(r"(\d+)([nac])", FORMATS[country])
    )
    return next(iban for digits in range(2, 99) if is_valid(iban := f"{country}{digits:02}{account}"))


@pytest.mark.parametrize("iban", PUBLISHED)
def test_published_ibans_are_found_in_any_groups_whatever_follows(iban: str) -> None:
    for written in (iban, grouped(iban), grouped(iban, "-"), iban.lower(), grouped(iban.lower())):
        for after in FOLLOWING:
            if after == "und" and written[-1].islower():
                continue
            text = f"from {written}{after}"
            assert searched(text)[0] == written, text
            assert redacted(text).startswith("from [IBAN_CODE]"), text
        for after in CAPITALS:
            assert bool(searched(f"from {written}{after}")) is FORMATS[iban[:2]].endswith("n"), (written, after)


@given(ibans(), st.sampled_from(["", " ", "-"]), st.sampled_from(["", "to ", "konto", "("]), st.sampled_from(FOLLOWING))
def test_an_iban_of_any_country_is_found_whole(iban: str, joint: str, before: str, after: str) -> None:
    written = grouped(iban, joint)
    text = f"{before}{written}{after}"
    assert searched(text)[0] == written
    assert written not in redacted(text)


@given(ibans(), ibans(), st.sampled_from([" ", ", ", "\n", "; ", " 100 "]))
def test_ibans_in_a_row_are_apart(first: str, second: str, joint: str) -> None:
    assert searched(f"{first}{joint}{second}") == [first, second]


@pytest.mark.parametrize(
    "written", ["FR14 20041 01005 0500013M026 06", "ES91 2100 0418 45 0200051332", "BE68 539-0075470-34"]
)
def test_a_countrys_own_groups_hide_nothing(written: str) -> None:
    assert searched(f"{written} 2024") == [written]


@pytest.mark.parametrize(
    "text",
    [
        "DE89370400440532013001",
        "DE8937040044053201300",
        "DE893704004405320130000",
        "XDE89370400440532013000",
        "1DE89370400440532013000",
        "xde89370400440532013000",
        "MT84MALT011000012345MTLCAST001SAND",
        "MT84MALT011000012345MTLCAST001S1",
        "mt84malt011000012345mtlcast001sand",
        "MU17BOMM0101101030300200000MUREUR",
        "DE89 3704 0044  0532 0130 00",
        "DE89 3704 0044 0532 O130 00",
        "XX89 3704 0044 0532 0130 00",
    ],
)
def test_what_has_another_length_format_or_check_digit_is_none(text: str) -> None:
    assert searched(text) == []


@given(ibans())
def test_presidios_format_of_a_country_is_met_where_it_has_a_right_one(iban: str) -> None:
    theirs = regex_per_country.get(iban[:2])
    if theirs and iban[:2] not in ("AZ", "CR", "DO", "JO", "MU", "PK", "PS", "PT", "QA"):
        assert regex.fullmatch(theirs, iban)
