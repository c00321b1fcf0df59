from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.privacy.pii import ENTITIES, PATTERN_ENTITIES, Detector, mask

PLANTED = {
    "US_SSN": ["123-45-6789", "078-05-1120"],
    "EMAIL_ADDRESS": ["jane.doe@example.com", "CARE@SHOP.COM.MY", "a_b+c@mail.co.uk"],
    "PHONE_NUMBER": [
        "07-355 2616",
        "03-7731 8169",
        "0122648835",
        "603-62592420",
        "+6 03 2026 6386",
        "1800 88 1231",
        "012-2673122",
        "0390542829",
        "(555) 123-4567",
        "555-123-4567",
        "+1 555.123.4567",
        "+44 20 7946 0958",
        "020 7946 0958",
        "TEL: O7 ,8263254",
        "H/P:019~7521215",
        "Phone 5551234567",
        "555-0123",
        "2125550147",
        "001-212-555-0147",
        "+1 (212) 555 0147 x123",
    ],
    "CREDIT_CARD": ["4111 1111 1111 1111", "4111111111111111", "3782 822463 10005"],
    "IBAN_CODE": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "IP_ADDRESS": ["192.168.1.20", "2001:db8::1"],
    "ADDRESS": [
        "12 Elm Street",
        "221B Baker Street",
        "No. 343, Jalan Kurau",
        "350 5TH AVENUE",
        "Springfield, IL 62704",
        "Hauptstraße 12",
        "12 rue de la Paix",
    ],
    "PERSON": [
        "John Smith",
        "MARIA GARCIA",
        "Robert Brown",
        "Mr. Quillfeather",
        "Dr Alice Johnson",
        "TAN WOON YANN",
        "Tan Chay Yee",
        "Siti binti Ahmad",
        "Name: Xandriel Vorn",
        "Cashier: Wei Ling",
    ],
}

HARMLESS = [
    "a red rose in may",
    "A man wearing a brown hat rides the tan horse down a street",
    "Two 2 way signs on the street in Washington Park",
    "MR D.I.Y. (M) SDN BHD",
    "KHIAM AIK CHAN SDN BHD (88842-H)",
    "LIAN HING STATIONERY SDN BHD",
    "GST ID : 002046390272",
    "TOTAL AMT INCL. GST @ 6%: 79.50 4.50 75.00",
    "23-01-2019 13:14:15 PM 09/01/2019 2018-11-18 18-11-18",
    "INVOICE NO: 22497 CS-20242 SO00022185",
    "9555916500133 1 X 3.11 3.11",
    "WD40 277ML MOO 2572 KL 001 038354",
    "CASHIER : CASHIER CASHIER: ADMIN Product name: Golden Cup",
    "Grand Central Station, Christmas Rose, Orange Juice",
    "total 1,234,567.00, version 1.2.3, page 12",
    "BLACK COFFEE HOT TEA CHICKEN RICE",
]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k in PLANTED for v in PLANTED[k]])
def test_finds_planted_value(detector: Detector, kind: str, value: str) -> None:
    text = f"seen with {value} yesterday"
    findings = detector.find(text)
    assert kind in {f.entity for f in findings}
    private = value.split(": ")[-1] if kind == "PERSON" else value.split()[-1]
    assert private not in mask(text, findings)


@pytest.mark.parametrize("text", HARMLESS)
def test_leaves_harmless_text_alone(detector: Detector, text: str) -> None:
    assert mask(text, detector.find(text)) == text


def test_values_over_several_words_and_lines(detector: Detector) -> None:
    text = "shop\nNO. 343, JALAN KURAU,\n81620 PENGERANG, JOHOR.\nTEL : 03-4043 7678\nTAX INVOICE"
    assert mask(text, detector.find(text)) == ("shop\n<ADDRESS>\nTEL : <PHONE_NUMBER>\nTAX INVOICE")


def test_a_typed_lower_case_name_alone_on_its_line(detector: Detector) -> None:
    assert [f.entity for f in detector.find("tan chay yee\nABC TRADING")] == ["PERSON"]
    assert detector.find("a tan chay yee") == []


def test_kinds_can_be_chosen(detector: Detector) -> None:
    text = "John Smith, 12 Elm Street, jane.doe@example.com"
    assert [f.entity for f in detector.find(text, PATTERN_ENTITIES)] == ["EMAIL_ADDRESS"]
    assert [f.entity for f in Detector(["PERSON"]).find(text)] == ["PERSON"]
    assert detector.find(text, ()) == detector.find("") == []
    with pytest.raises(ValueError, match="NONE_SUCH"):
        Detector(["NONE_SUCH"])


def test_identity_depends_on_the_kinds(detector: Detector) -> None:
    assert detector.identity.name == "presidio" and detector.identity.dimension == 0
    assert detector.identity == Detector().identity != Detector(PATTERN_ENTITIES).identity


values = st.sampled_from([v for kind in PLANTED.values() for v in kind])
prose = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12)
pieces = st.lists(st.one_of(values, prose, st.sampled_from(HARMLESS)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(pieces, st.sampled_from([" ", "\n", ", "]), st.permutations(ENTITIES))
def test_masked_text_is_stable(parts: list[str], separator: str, kinds: list[str]) -> None:
    detector = Detector()
    text = separator.join(parts)
    findings = detector.find(text, kinds)
    assert all(0 <= f.start < f.end <= len(text) and 0 < f.score <= 1 for f in findings)
    assert all(a.end <= b.start for a, b in pairwise(findings))
    masked = mask(text, findings)
    assert detector.find(masked, kinds) == []
    assert mask(masked, detector.find(masked)) == masked


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PATTERN_ENTITIES)), st.data())
def test_no_planted_value_survives(kind: str, data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(PLANTED[kind]))
    before, after = data.draw(st.sampled_from(HARMLESS)), data.draw(st.sampled_from(HARMLESS))
    text = f"{before}\n{value}\n{after}"
    assert value not in mask(text, Detector().find(text))
