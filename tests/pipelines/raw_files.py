"""Small files as they come in, made rather than kept."""

import io
import zlib

from PIL import Image


def picture(colour: str = "red", size: tuple[int, int] = (40, 30), format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format)
    return buffer.getvalue()


def bomb() -> bytes:
    """A small PNG whose header claims 100000 x 100000 pixels."""
    data = bytearray(picture(format="PNG"))
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def pdf(pages: int, *, encrypted: bool = False) -> bytes:
    """A PDF of blank pages; an encrypted one asks for a password nobody knows."""
    kids = " ".join(f"{number + 3} 0 R" for number in range(pages))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {pages} /Kids [{kids}] >>",
        *["<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] >>"] * pages,
    ]
    trailer = f"/Size {len(objects) + 1} /Root 1 0 R"
    if encrypted:
        key = "61" * 32
        trailer += f" /ID [<{key}> <{key}>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4"
        trailer += f" /O <{key}> /U <{key}> >>"
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    xref = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    return f"{body}{xref}trailer << {trailer} >>\nstartxref\n{len(body)}\n%%EOF\n".encode("latin-1")
