import contextlib
import io
import random

import pytest
from PIL import Image
from raw_files import bomb, pdf, picture

from pipelines.errors import BadInput
from pipelines.reading.media import (
    NotMedia,
    RawPage,
    as_jpeg,
    decode_pages,
    decode_text,
    image_size,
    perceptual_hash,
    sniff,
)
from pipelines.settings import Settings


def decoded(data: bytes, settings: Settings, kind: str = "image", **bounds: int) -> list[RawPage]:
    return list(decode_pages(data, kind, settings.model_copy(update=bounds)))


# --- Type by content -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "mime"),
    [
        (picture(), "photo.jpg", "image/jpeg"),
        (picture(), "photo.txt", "image/jpeg"),
        (picture(), "photo", "image/jpeg"),
        (picture(format="PNG"), "photo.jpg", "image/png"),
        (picture(format="WEBP"), "photo.pdf", "image/webp"),
        (picture(format="BMP"), "photo.txt", "image/bmp"),
        (picture(format="TIFF"), "scan.txt", "image/tiff"),
        (pdf(1), "letter.jpg", "application/pdf"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "sound.txt", "audio/x-wav"),
        (b"Plain words.", "a.txt", "text/plain"),
        (b"Plain words.", "README", "text/plain"),
        (b"# Title", "a.md", "text/markdown"),
        ("Grüße".encode("utf-16"), "a.txt", "text/plain"),
        ("日本語".encode()[:-1], "cut.txt", "text/plain"),
        (b"BMI is a number.", "letters_of_a_bitmap.txt", "text/plain"),
        (b"ID3 is a tag.", "letters_of_a_song.txt", "text/plain"),
        (b"GIF89a is a format.", "letters_of_a_gif.txt", "text/plain"),
    ],
)
def test_the_type_is_told_by_content(data: bytes, name: str, mime: str) -> None:
    media = sniff(data, name)
    assert media.mime == mime
    assert media.kind == {"application": "document"}.get(mime.split("/")[0], mime.split("/")[0])


def test_an_empty_file_is_bad() -> None:
    with pytest.raises(BadInput, match="empty"):
        sniff(b"", "a.jpg")


def test_text_that_claims_to_be_an_image_is_bad() -> None:
    with pytest.raises(BadInput, match=r"named \.jpg but holds plain text"):
        sniff(b"not a picture", "a.JPG")


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"PK\x03\x04" + bytes(30), "a.zip"), (b"x = 1", "a.py"), (bytes(range(256)), "a.txt")],
)
def test_other_files_are_no_media(data: bytes, name: str) -> None:
    with pytest.raises(NotMedia):
        sniff(data, name)


# --- Images --------------------------------------------------------------------------------------


def test_an_image_is_one_rgb_page(settings: Settings) -> None:
    [page] = decoded(picture("red", (40, 30)), settings)
    assert (page.segment, page.page, page.image.mode, page.image.size) == (
        "image",
        None,
        "RGB",
        (40, 30),
    )


def saved(image: Image.Image, format: str = "PNG", **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **how)
    return buffer.getvalue()


def test_transparent_parts_become_white(settings: Settings) -> None:
    [page] = decoded(saved(Image.new("RGBA", (4, 4), (255, 0, 0, 0))), settings)
    assert page.image.getpixel((0, 0)) == (255, 255, 255)


def test_an_image_is_turned_as_its_camera_says(settings: Settings) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    [page] = decoded(saved(Image.new("RGB", (40, 30)), "JPEG", exif=exif), settings)
    assert page.image.size == (30, 40)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "I;16"])
def test_every_colour_mode_keeps_its_grey(settings: Settings, mode: str) -> None:
    image = Image.new("I;16", (8, 8), 0x4000) if mode == "I;16" else Image.new("L", (8, 8), 64)
    if mode not in {"L", "I;16"}:
        image = Image.new("RGB", (8, 8), (64, 64, 64)).convert(mode)
    [page] = decoded(saved(image, "TIFF" if mode == "CMYK" else "PNG"), settings)
    mean = sum(page.image.convert("L").tobytes()) / 64
    assert mean == pytest.approx(64, abs=20)


def test_a_tiff_of_several_pages_is_a_page_each(settings: Settings) -> None:
    first, *more = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    data = saved(first, "TIFF", save_all=True, append_images=more)
    pages = decoded(data, settings)
    assert [(page.segment, page.page) for page in pages] == [
        ("page-0001", 1),
        ("page-0002", 2),
        ("page-0003", 3),
    ]
    assert pages[2].image.getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(BadInput, match="3 pages, more than max_pages = 2"):
        decoded(data, settings, max_pages=2)


def test_a_bomb_is_refused_before_it_is_decoded(settings: Settings) -> None:
    with pytest.raises(BadInput, match="max_pixels"):
        decoded(bomb(), settings)
    with pytest.raises(BadInput, match="40 x 30 pixels, more than max_pixels = 1,000"):
        decoded(picture(size=(40, 30)), settings, max_pixels=1000)
    assert image_size(bomb()) is None
    assert perceptual_hash(bomb(), settings) is None


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"])
def test_a_truncated_image_is_bad_input(settings: Settings, format: str) -> None:
    noise = Image.frombytes("RGB", (64, 64), random.Random(1).randbytes(64 * 64 * 3))
    data = saved(noise, format)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(BadInput, match="corrupt"):
            decoded(data[: int(len(data) * share)], settings)
    assert perceptual_hash(data[: len(data) // 2], settings) is None


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whatever_corruption_does_it_is_bad_input_or_a_picture(settings: Settings) -> None:
    chance = random.Random(7)
    good = [picture(format=format) for format in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP")]
    for _ in range(300):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(4, len(data))] = chance.randrange(256)
        perceptual_hash(bytes(data), settings)
        with contextlib.suppress(BadInput):
            decoded(bytes(data), settings, max_pixels=100_000)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (30_000, 100)])
def test_extreme_shapes_can_be_decoded_and_shrunk(
    settings: Settings, size: tuple[int, int]
) -> None:
    data = picture(size=size, format="PNG")
    [page] = decoded(data, settings)
    assert page.image.size == image_size(data) == size
    _, small = as_jpeg(page.image, 1600, 90)
    assert max(small) <= 1600 and min(small) >= 1
    assert perceptual_hash(data, settings)


def test_alike_pictures_have_near_hashes(settings: Settings) -> None:
    gradient = Image.linear_gradient("L").convert("RGB")
    hashes = [
        perceptual_hash(data, settings)
        for data in (saved(gradient), saved(gradient.resize((100, 100)), "JPEG"))
    ]
    assert hashes[0] and hashes[1] and len(hashes[0]) == 16
    assert (int(hashes[0], 16) ^ int(hashes[1], 16)).bit_count() <= 6


def test_a_derivative_keeps_no_metadata(settings: Settings) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    [page] = decoded(saved(Image.new("RGB", (40, 30)), "JPEG", exif=exif), settings)
    data, size = as_jpeg(page.image, 20, 90)
    assert size == (20, 15)
    assert b"secret" not in data and b"Exif" not in data


# --- Documents -----------------------------------------------------------------------------------


def test_pages_of_a_pdf_are_rendered(settings: Settings) -> None:
    pages = decoded(pdf(2), settings, "document")
    assert [(page.segment, page.page) for page in pages] == [("page-0001", 1), ("page-0002", 2)]
    assert pages[0].image.size == (200, 200)
    assert decoded(pdf(1), settings, "document", max_pixels=10_000)[0].image.size <= (100, 100)


@pytest.mark.parametrize(("pages", "bound"), [(3, 2), (200, 100)])
def test_a_pdf_of_too_many_pages_is_refused(settings: Settings, pages: int, bound: int) -> None:
    with pytest.raises(BadInput, match=f"{pages} pages, more than max_pages = {bound}"):
        decoded(pdf(pages), settings, "document", max_pages=bound)


@pytest.mark.slow
def test_a_long_pdf_is_rendered_page_by_page(settings: Settings) -> None:
    assert len(decoded(pdf(200), settings, "document", max_pages=200)) == 200


def test_an_encrypted_pdf_is_refused(settings: Settings) -> None:
    with pytest.raises(BadInput, match="encrypted"):
        decoded(pdf(1, encrypted=True), settings, "document")
    with pytest.raises(BadInput, match="cannot be read"):
        decoded(pdf(0), settings, "document")


@pytest.mark.parametrize("data", [pdf(0), b"%PDF-1.4\nnothing", pdf(2)[:60]])
def test_a_pdf_without_readable_pages_is_refused(settings: Settings, data: bytes) -> None:
    with pytest.raises(BadInput, match=r"no pages|cannot be read"):
        decoded(data, settings, "document")


# --- Text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_of_common_encodings_is_read(settings: Settings, encoding: str) -> None:
    text = "Die Größe der Straße läßt sich über die Brücke schätzen. " * 4
    assert decode_text(text.encode(encoding), settings) == text


def test_a_short_text_in_utf8_is_read_as_such(settings: Settings) -> None:
    assert decode_text("é".encode(), settings) == "é"


@pytest.mark.parametrize("length", [101, 1000])
def test_too_long_a_text_is_refused(settings: Settings, length: int) -> None:
    bounded = settings.model_copy(update={"max_characters": 100})
    assert decode_text(b"x" * 100, bounded)
    with pytest.raises(BadInput, match="characters, more than max_characters = 100"):
        decode_text(b"x" * length, bounded)
