import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pipelines.errors import ResidualFinding
from pipelines.privacy.pii import Detector, Finding
from pipelines.privacy.redaction import Redacted, redact_image, redact_page, verify
from pipelines.reading.ocr import Box, Page, TesseractReader, Word

MEDIA = Path(__file__).parents[2].parent / "shared/media"


class Sees:
    """A reader that reads the given pages one after the other, then nothing."""

    def __init__(self, *pages: Page) -> None:
        self.pages = list(pages)

    def read(self, image: Image.Image, height: float | None = None) -> Page:
        return self.pages.pop(0) if self.pages else Page.of_lines([])


class ReadsOnce(TesseractReader):
    """Reads no image a second time, which Tesseract would read alike."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[tuple[tuple[int, int], bytes, float | None], Page] = {}

    def read(self, image: Image.Image, height: float | None = None) -> Page:
        key = image.size, sha256(image.convert("L").tobytes()).digest(), height
        if key not in self._pages:
            self._pages[key] = super().read(image, height)
        return self._pages[key]


def page(*lines: str, box: Box | None = None) -> Page:
    """Words 8 pixels a character wide, lines 30 pixels apart."""
    rows = []
    for row, line in enumerate(lines):
        at, words = 10, []
        for text in line.split():
            words.append(Word(text, 0.9, box or (at, 10 + 30 * row, 8 * len(text), 20), 0))
            at += 8 * (len(text) + 1)
        rows.append(words)
    return Page.of_lines(rows)


def black(image: Image.Image, box: Box) -> bool:
    left, top, width, height = box
    return not np.asarray(image)[top : top + height, left : left + width].any()


white = Image.new("RGB", (400, 200), "white")


def test_one_finding_drives_text_words_and_pixels() -> None:
    read = page("TEL 07-355 2616 open", "total 31.00")
    redacted = redact_page(white, read, Detector())
    assert redacted.text == "TEL <PHONE_NUMBER> open\ntotal 31.00"
    assert [w.text for w in redacted.words] == ["TEL", "<PHONE_NUMBER>", "open", "total", "31.00"]
    assert all(redacted.text[w.start : w.end] == w.text for w in redacted.words)
    [finding] = redacted.findings
    [box] = finding.boxes
    assert finding.entity == "PHONE_NUMBER" and box == redacted.words[1].box
    first, last = read.words[1].box, read.words[2].box
    span = (first[0] - 2, first[1] - 2, last[0] + last[2] - first[0] + 4, first[3] + 4)
    assert black(redacted.image, span), "words, the gap between them and a margin are covered"
    assert not black(redacted.image, read.words[0].box)
    assert not black(redacted.image, read.words[3].box)


def test_a_finding_over_two_lines_has_a_box_on_each() -> None:
    read = page("NO. 343, JALAN KURAU,", "81620 PENGERANG, JOHOR.", "TAX INVOICE")
    redacted = redact_page(white, read, Detector())
    assert redacted.text == "<ADDRESS>\n<ADDRESS>\nTAX INVOICE"
    assert [len(f.boxes) for f in redacted.findings] == [2]


def test_junk_is_covered_but_not_stored() -> None:
    words = [
        Word("call", 0.9, (10, 10, 30, 20), 0),
        Word("jane.doe@example.com", 0.1, (50, 10, 90, 20), 0),
        Word("~x", 0.1, (150, 10, 20, 20), 0),
    ]
    redacted = redact_page(white, Page.of_lines([words], min_confidence=0.5), Detector())
    assert redacted.text == "call <EMAIL_ADDRESS>"
    assert black(redacted.image, words[1].box)


def test_words_brought_together_by_leaving_out_junk_are_searched_again() -> None:
    words = [
        Word(text, confidence, (10 + 90 * i, 10, 80, 20), 0)
        for i, (text, confidence) in enumerate([("03-7731", 0.9), ("qX;", 0.1), ("8169", 0.9)])
    ]
    redacted = redact_page(white, Page.of_lines([words], min_confidence=0.5), Detector())
    assert redacted.text == "<PHONE_NUMBER>"


def test_metadata_is_gone() -> None:
    image = Image.new("RGB", (50, 50), "white")
    image.getexif()[0x010E] = "private"
    image.info["comment"] = "private"
    redacted = redact_page(image, page("nothing"), Detector())
    assert redacted.image.mode == "RGB" and not redacted.image.info
    assert not dict(redacted.image.getexif())
    assert redacted.image is not image and redacted.findings == ()


@pytest.mark.parametrize("box", [(10, 10, 0, 20), (900, 900, 50, 20)])
def test_a_finding_without_a_place_is_refused_without_telling_it(box: Box) -> None:
    with pytest.raises(ResidualFinding, match="1 EMAIL_ADDRESS") as raised:
        redact_page(white, page("jane.doe@example.com", box=box), Detector())
    assert "jane" not in str(raised.value)


def test_a_finding_between_words_is_refused() -> None:
    class Astray:
        def find(self, text: str) -> list[Finding]:
            return [Finding("PERSON", 3, 4, 1.0)]

    with pytest.raises(ResidualFinding, match="1 PERSON"):
        redact_page(white, page("one two"), Astray())


def test_verify_refuses_what_is_left_in_text_or_pixels() -> None:
    clean = redact_page(white, page("mail jane.doe@example.com"), Detector())
    verify(clean, Sees(), Detector())
    with pytest.raises(ResidualFinding, match="1 US_SSN"):
        verify(clean, Sees(page("123-45-6789")), Detector())
    leaky = Redacted(white, "mail jane.doe@example.com", (), ())
    with pytest.raises(ResidualFinding, match="1 EMAIL_ADDRESS"):
        verify(leaky, Sees(), Detector())


def test_what_only_a_further_reading_finds_is_covered_too() -> None:
    reader = Sees(page("Qohn Smith 07-355 2616"), page("John Smith"))
    redacted = redact_image(white, reader, Detector())
    assert redacted.text == "<PERSON> <PERSON> <PHONE_NUMBER>"
    assert {f.entity for f in redacted.findings} == {"PERSON", "PHONE_NUMBER"}
    assert black(redacted.image, page("John Smith").words[0].box)


def test_findings_that_never_end_are_refused() -> None:
    with pytest.raises(ResidualFinding, match="1 PHONE_NUMBER"):
        redact_image(white, Sees(*[page("07-355 2616")] * 9), Detector())


def test_drawn_letter_is_redacted_in_its_pixels() -> None:
    image = Image.new("RGB", (700, 300), "white")
    lines = ["Invoice 22497 total 31.00", "Call 555-123-4567 now", "John Smith, 12 Elm Street"]
    for i, line in enumerate(lines):
        place = (20, 20 + 60 * i)
        ImageDraw.Draw(image).text(place, line, "black", ImageFont.load_default(size=30))
    reader = TesseractReader()
    redacted = redact_image(image, reader, Detector())
    assert redacted.text.split("\n")[0] == lines[0]
    assert {f.entity for f in redacted.findings} == {"PHONE_NUMBER", "PERSON", "ADDRESS"}
    verify(redacted, reader, Detector())
    assert "Smith" not in reader.read(redacted.image).text


def _bag(text: str) -> Counter[str]:
    return Counter(w for w in (re.sub(r"[^a-z0-9]", "", t) for t in text.lower().split()) if w)


@pytest.mark.slow
def test_real_receipts_are_read_and_show_no_phone_or_email() -> None:
    if not MEDIA.is_dir():
        pytest.skip(f"no real media at {MEDIA}")
    rows = [json.loads(line) for line in (MEDIA / "documents/text.jsonl").open()]
    reader, detector = ReadsOnce(), Detector()

    def process(row: dict) -> tuple[float, list[str], float]:
        image = Image.open(MEDIA / "documents" / row["file"])
        read = reader.read(image)
        truth = _bag(row["text"])
        recall = (truth & _bag(read.text)).total() / truth.total()
        redacted = redact_image(image, reader, detector)
        left = []
        for text in (redacted.text, reader.read(redacted.image).text):
            plain = [re.sub(r"\D", "", line) for line in text.split("\n")]
            for item in row["weak_pii"]:
                value, digits = item["value"], re.sub(r"\D", "", item["value"])
                if item["type"] == "date":
                    continue
                hidden = item["type"] == "phone" and any(digits in line for line in plain)
                if value.lower() in text.lower() or hidden:
                    left.append(f"{row['file']}: {item['type']}")
        masks = sum(w.text.startswith("<") for w in redacted.words)
        kept = (len(redacted.words) - masks) / max(1, len(read.legible().words))
        return recall, left, kept

    with ThreadPoolExecutor(2) as pool:
        recalls, lefts, kept = zip(*pool.map(process, rows), strict=True)
    mean = sum(recalls) / len(recalls)
    print(f"word recall {mean:.2f} (mean), {min(recalls):.2f} (worst) of {len(rows)} receipts")
    assert mean >= 0.80
    assert not [item for left in lefts for item in left]
    assert sum(kept) / len(kept) >= 0.75, "receipts stay searchable"


@pytest.mark.parametrize(
    ("ground", "ink", "size"),
    [("white", "black", 32), ("navy", "white", 32), ("#ddd", "#888", 24), ("white", "#333", 11)],
)
def test_dark_faint_and_small_writing_is_covered(ground: str, ink: str, size: int) -> None:
    card = Image.new("RGB", (900, 400), ground)
    font = ImageFont.load_default(size=size)
    for line, text in enumerate(("SSN 219-09-9999", "maria.g@example.com", "(212) 555-0147")):
        ImageDraw.Draw(card).text((60, 60 + 2 * size * line), text, fill=ink, font=font)
    redacted = redact_image(card, TesseractReader(), Detector())
    found = sorted(finding.entity for finding in redacted.findings)
    assert found == ["EMAIL_ADDRESS", "PHONE_NUMBER", "US_SSN"]
    assert not re.search(r"\d{3}|example", redacted.text)
