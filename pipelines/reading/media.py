"""Raw bytes to something a step can work on: type by content, decoding within bounds."""

import codecs
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import filetype
from PIL import Image, ImageOps

from pipelines.errors import BadInput
from pipelines.settings import Settings

# Sound and video that the library of signatures does not know; what they are, decoding will tell.
_UNSIGNED = {
    ".ac3": "audio/ac3",
    ".au": "audio/basic",
    ".caf": "audio/x-caf",
    ".m2ts": "video/mp2t",
    ".mts": "video/mp2t",
    ".ts": "video/mp2t",
    ".wv": "audio/x-wavpack",
}
_TEXT_SUFFIXES = {"", ".txt", ".text", ".md", ".markdown", ".rst"}
_PDF_DPI = 200
SNIFF_BYTES = 8192
"""So many first bytes are enough for `sniff`."""
# pdfium keeps global state and is not safe to call from two threads.
_PDFIUM = threading.Lock()


class NotMedia(Exception):
    """The bytes are of no kind that is indexed; the file is skipped."""


@dataclass(frozen=True)
class MediaType:
    """What the bytes are: `kind` is image, document, text, audio or video."""

    kind: str
    mime: str


@dataclass(frozen=True)
class RawPage:
    """One decoded image or document page, RGB; `page` counts from 1, `None` for a single image."""

    segment: str
    page: int | None
    image: Image.Image


def sniff(head: bytes, name: str) -> MediaType:
    """Tell the type of media from its first bytes.

    Plain text has no signature, so there (only) the name counts: a name that promises something
    else raises BadInput, an unknown one NotMedia.
    """
    if not head:
        raise BadInput("the file is empty (0 bytes)")
    mime = filetype.guess_mime(head)
    # Some signatures are plain letters, such as the BM of a bitmap; only a PDF may begin as text.
    if mime and (mime == "application/pdf" or not _is_plain(head)):
        kind = mime.split("/")[0]
        if kind in {"image", "audio", "video"}:
            return MediaType(kind, mime)
        if mime == "application/pdf":
            return MediaType("document", mime)
        raise NotMedia(f"{mime} is not a kind of media that is indexed")
    suffix = PurePosixPath(name).suffix.lower()
    promised = filetype.get_type(ext=suffix[1:]) is not None
    if not _looks_like_text(head):
        if unsigned := _UNSIGNED.get(suffix):
            return MediaType(unsigned.split("/")[0], unsigned)
        if promised:
            raise BadInput(f"the file is named {suffix}, but its bytes are not; it is corrupt")
        raise NotMedia("its bytes have no known signature")
    if suffix in _TEXT_SUFFIXES:
        markdown = suffix in {".md", ".markdown"}
        return MediaType("text", "text/markdown" if markdown else "text/plain")
    if promised:
        raise BadInput(f"the file is named {suffix} but holds plain text; rename it to .txt")
    raise NotMedia(f"text files named {suffix} are not indexed")


def _is_plain(head: bytes) -> bool:
    try:
        # The last character may be cut off.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return _looks_like_text(head)


def _looks_like_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return b"\0" not in head and sum(byte < 9 or 13 < byte < 32 for byte in head) < len(head) / 50


def decode_text(data: bytes, settings: Settings) -> str:
    """Decode a text file of any common encoding; raises BadInput when too long or not text."""
    # No encoding takes more than four bytes for a character; guessing one takes long.
    most, too_long = settings.max_characters, "characters, more than max_characters"
    if len(data) > 4 * most:
        raise BadInput(f"more than {len(data) // 4:,} {too_long} = {most:,}")
    text = _decoded(data)
    if len(text) > most:
        raise BadInput(f"{len(text):,} {too_long} = {most:,}")
    return text


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        import charset_normalizer

        best = charset_normalizer.from_bytes(data).best()
    if best is None:
        raise BadInput("its text has no recognisable encoding; save it as UTF-8")
    return str(best)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Read width and height in pixels from an image's header; `None` if it cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Exception:
        return None


def perceptual_hash(data: bytes, settings: Settings) -> str | None:
    """Return the 64-bit pHash (16 hex digits) of an image, `None` when it cannot be decoded."""
    import imagehash

    try:
        with _open_image(data, settings) as image:
            image.draft("L", (256, 256))
            return str(imagehash.phash(image))
    except Exception:
        return None


def decode_pages(data: bytes, kind: str, settings: Settings) -> Iterator[RawPage]:
    """Yield the pages of an image or document one by one.

    Raises BadInput for what is broken, encrypted or beyond the bounds of the settings; bounds are
    checked before pixels are decoded.
    """
    yield from _pdf_pages(data, settings) if kind == "document" else _image_pages(data, settings)


def _open_image(data: bytes, settings: Settings) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise BadInput(f"more pixels than max_pixels = {settings.max_pixels:,}") from error
    except Exception as error:
        raise BadInput("the image header cannot be read; the file is corrupt") from error
    if image.width * image.height > settings.max_pixels:
        size = f"{image.width} x {image.height}"
        raise BadInput(f"{size} pixels, more than max_pixels = {settings.max_pixels:,}")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    with _corrupt_is_bad():
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            # Pillow would clip these to 8 bits, which makes nearly everything white.
            upright = upright.convert("I").point(lambda value: value / 256).convert("L")
        if upright.mode in {"RGBA", "LA", "PA"} or "transparency" in upright.info:
            rgba = upright.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            return Image.alpha_composite(white, rgba).convert("RGB")
        return upright.convert("RGB")


@contextmanager
def _corrupt_is_bad() -> Iterator[None]:
    """Turn whatever Pillow raises over broken bytes, which is anything, into BadInput."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise BadInput("the image is truncated or corrupt; restore it from its source") from error


def _image_pages(data: bytes, settings: Settings) -> Iterator[RawPage]:
    with _open_image(data, settings) as image:
        with _corrupt_is_bad():
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        _check_pages(pages, settings)
        if pages == 1:
            yield RawPage("image", None, _rgb(image))
            return
        for number in range(1, pages + 1):
            with _corrupt_is_bad():
                image.seek(number - 1)
            if image.width * image.height > settings.max_pixels:
                raise BadInput(f"page {number} has more than {settings.max_pixels:,} pixels")
            yield RawPage(f"page-{number:04d}", number, _rgb(image))


def _check_pages(pages: int, settings: Settings) -> None:
    if pages < 1:
        raise BadInput("it has no pages")
    if pages > settings.max_pages:
        bound = f"more than max_pages = {settings.max_pages}"
        raise BadInput(f"{pages} pages, {bound}; split it or raise the setting")


def _pdf_pages(data: bytes, settings: Settings) -> Iterator[RawPage]:
    import pypdfium2

    try:
        with _PDFIUM:
            document = pypdfium2.PdfDocument(data)
            pages = len(document)
    except pypdfium2.PdfiumError as error:
        # pdfium may still report the error of an earlier document, so that alone does not tell.
        if "password" in str(error).lower() and b"/Encrypt" in data:
            raise BadInput("the PDF is encrypted; store it without a password") from error
        raise BadInput("the PDF cannot be read; the file is corrupt") from error
    try:
        _check_pages(pages, settings)
        for number in range(1, pages + 1):
            with _PDFIUM:
                try:
                    page = document[number - 1]
                    width, height = page.get_size()
                    fit = (settings.max_pixels / max(width * height, 1)) ** 0.5
                    image = page.render(scale=min(_PDF_DPI / 72, fit)).to_pil().convert("RGB")
                except pypdfium2.PdfiumError as error:
                    raise BadInput(f"page {number} of the PDF cannot be rendered") from error
            yield RawPage(f"page-{number:04d}", number, image)
    finally:
        with _PDFIUM:
            document.close()


def as_jpeg(image: Image.Image, longest_side: int, quality: int) -> tuple[bytes, tuple[int, int]]:
    """Encode an RGB image, shrunk to fit the longest side, without any metadata; bytes and size."""
    small = image
    if max(image.size) > longest_side:
        scale = longest_side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue(), small.size
