import pytest
from PIL import Image, ImageDraw, ImageFont

from pipelines.errors import BadInput, MediadexError
from pipelines.reading.ocr import Page, TesseractReader, Word


def drawn(*lines: str, size: tuple[int, int] = (640, 240)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    for i, line in enumerate(lines):
        position = (20, 20 + 45 * i)
        ImageDraw.Draw(image).text(position, line, "black", ImageFont.load_default(size=28))
    return image


def word(text: str, confidence: float = 0.9) -> Word:
    return Word(text, confidence, (0, 0, 9, 9), 0)


def test_reads_words_where_they_are() -> None:
    page = TesseractReader().read(drawn("Hello wide world", "second line"))
    assert page.text == "Hello wide world\nsecond line"
    assert all(page.text[w.start : w.end] == w.text for w in page.words)
    assert page.confidence is not None and 0.5 < page.confidence <= 1
    left, top, width, height = page.words[0].box
    assert 10 <= left <= 30 and 15 <= top <= 35 and 50 <= width <= 100 and 15 <= height <= 40
    assert page.words[3].box[1] > top + height


def test_a_document_is_read_in_several_passes_without_doubling_words() -> None:
    lines = ["alpha beta gamma", "delta epsilon zeta", "theta iota kappa", "lambda omega sigma"]
    assert TesseractReader().read(drawn(*lines)).text.split("\n") == lines


def test_an_image_without_text_has_no_words() -> None:
    page = TesseractReader().read(Image.new("RGB", (640, 480), "gray"))
    assert (page.text, page.words, page.confidence) == ("", (), None)


def test_legible_leaves_out_junk_and_empty_lines() -> None:
    lines = [[word("kept"), word("junk", 0.1), word("too")], [word("x", 0.2)], [word("last")]]
    page = Page.of_lines(lines, min_confidence=0.5)
    assert page.text == "kept junk too\nx\nlast"
    assert page.legible().text == "kept too\nlast"
    assert [w.start for w in page.legible().words] == [0, 5, 9]


def test_identity_names_version_and_weights() -> None:
    identity = TesseractReader().identity
    assert identity.name == "tesseract" and identity.revision[0].isdigit()
    assert len(identity.weights) == 64
    assert identity != TesseractReader(min_confidence=0.9).identity


def test_unknown_language_says_what_to_install() -> None:
    with pytest.raises(MediadexError, match="tesseract-ocr-xyz"):
        _ = TesseractReader(languages="xyz").identity


def test_missing_program_says_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import pytesseract

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", "no-such-tesseract")
    with pytest.raises(MediadexError, match="make setup"):
        TesseractReader().read(drawn("text"))
    with pytest.raises(MediadexError, match="make setup"):
        _ = TesseractReader().identity


def test_a_reading_that_takes_too_long_is_bad_input() -> None:
    with pytest.raises(BadInput, match="longer than"):
        TesseractReader(timeout=0.001).read(drawn("text"))
