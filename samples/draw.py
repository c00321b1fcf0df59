"""Draws the small sample catalogue that `make demo` indexes: `python samples/draw.py`.

Pictures and PDFs are drawn with Pillow alone and come out byte for byte the same on every run; the
texts, the metadata and the queries beside them are written by hand. Invented personal data stands
in `planted.jsonl`, where the drawings look it up, so that list cannot disagree with the pictures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import random
import re
import shutil
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

Point = tuple[float, float]

DRAWN_WITH = "13.0.0"  # the Pillow of the committed files; others may render letters otherwise
SEED = 20240607
OVERSAMPLE = 3  # shapes are drawn this many times larger, then reduced: smooth edges
INK, GREY, PAPER = "#1c1c1c", "#4a4a4a", "#ffffff"
PEN = "#15286b"

# ---------------------------------------------------------------------------------- the data


@dataclass(frozen=True)
class Receipt:
    """What one till receipt says."""

    shop: str
    head: tuple[str, ...]
    lines: tuple[tuple[str, float], ...]
    foot: tuple[str, ...]
    tax: float


@dataclass(frozen=True)
class Badge:
    """What one identity badge says, and the colours of its portrait."""

    organisation: str
    kind: str
    lines: tuple[str, ...]
    colour: str
    skin: str
    hair: str


@dataclass(frozen=True)
class Form:
    """What one filled form says; a field is a label and what was entered."""

    title: str
    organisation: str
    colour: str
    fields: tuple[tuple[str, str], ...]
    ticks: tuple[tuple[str, bool], ...]
    note: str


RECEIPTS: dict[str, Receipt] = {
    "coffee_shop": Receipt(
        "BLUE HERON COFFEE",
        ("{ADDRESS}", "Tel: {PHONE_NUMBER}"),
        (("Flat white", 4.20), ("Oat cappuccino", 4.80), ("Almond croissant", 3.90)),
        ("Card: {CREDIT_CARD}", "Have a slow morning!"),
        0.08,
    ),
    "grocery": Receipt(
        "GREEN BASKET MARKET",
        ("Organic groceries", "Till 4   Ticket 00812"),
        (
            ("Tomatoes 1 kg", 3.49),
            ("Sourdough bread", 5.20),
            ("Cheddar cheese", 6.75),
            ("Orange juice 2 l", 4.10),
            ("Free range eggs", 3.95),
        ),
        ("Member name: {PERSON}", "Card: {CREDIT_CARD}", "Points earned: 23"),
        0.05,
    ),
    "hardware_store": Receipt(
        "IRON & OAK HARDWARE",
        ("Tools, timber and paint",),
        (
            ("Claw hammer", 18.90),
            ("Wood screws x100", 7.40),
            ("Masking tape", 3.15),
            ("Exterior paint 5 l", 42.00),
        ),
        ("Paid in cash", "Returns within 30 days"),
        0.07,
    ),
    "hotel": Receipt(
        "HOTEL LINDEN",
        ("Guest: {PERSON}", "Email: {EMAIL_ADDRESS}", "Room 214, two nights"),
        (("Double room", 258.00), ("Breakfast buffet", 36.00), ("Parking garage", 24.00)),
        ("Card: {CREDIT_CARD}", "Thank you for your stay"),
        0.10,
    ),
    "taxi": Receipt(
        "CITY CAB COMPANY",
        ("Driver: {PERSON}", "Dispatch: {PHONE_NUMBER}"),
        (("Airport to downtown", 38.50), ("Night surcharge", 4.00), ("Luggage", 2.00)),
        ("Distance 21.4 km", "Paid by voucher"),
        0.0,
    ),
    "pharmacy": Receipt(
        "CORNER PHARMACY",
        ("Patient: {PERSON}", "{ADDRESS}"),
        (("Ibuprofen 400 mg", 6.30), ("Cough syrup", 8.95), ("Bandage roll", 4.25)),
        ("Keep for your insurance", "Get well soon"),
        0.0,
    ),
}

BADGES: dict[str, Badge] = {
    "conference_speaker": Badge(
        "DATA FORUM 2024",
        "SPEAKER",
        ("Dr {PERSON}", "Keynote: search at scale", "{EMAIL_ADDRESS}"),
        "#7a3fa0",
        "#c68b5f",
        "#2b1d14",
    ),
    "employee": Badge(
        "NORTHWIND STUDIO",
        "EMPLOYEE",
        ("Name: {PERSON}", "Catalogue team", "Phone: {PHONE_NUMBER}"),
        "#1f6f8b",
        "#e0ac84",
        "#4a2c17",
    ),
    "visitor": Badge(
        "HARBOR LABS",
        "VISITOR",
        ("Name: {PERSON}", "Escort required", "Valid one day only"),
        "#c8501e",
        "#8d5a3b",
        "#17120f",
    ),
    "contractor": Badge(
        "STATION WORKS",
        "CONTRACTOR",
        ("Name: {PERSON}", "Electrical crew", "SSN: {US_SSN}"),
        "#2e7d4f",
        "#f0c7a0",
        "#a8762f",
    ),
}

FORMS: dict[str, Form] = {
    "expense_claim": Form(
        "Expense claim",
        "Northwind Studio, accounts",
        "#1f6f8b",
        (
            ("Employee name", "{PERSON}"),
            ("Purpose of travel", "Trade fair in Milan"),
            ("Train and hotel", "EUR 612.40"),
            ("Pay to IBAN", "{IBAN_CODE}"),
        ),
        (("Receipts attached", True), ("Paid in advance", False)),
        "Claims are paid with the next salary run.",
    ),
    "patient_intake": Form(
        "New patient intake",
        "Lakeside Family Clinic",
        "#2e7d4f",
        (
            ("Patient name", "{PERSON}"),
            ("Social security number", "{US_SSN}"),
            ("Telephone", "{PHONE_NUMBER}"),
            ("Home address", "{ADDRESS}"),
            ("Known allergies", "Penicillin, peanuts"),
        ),
        (("Smoker", False), ("Wears glasses", True)),
        "Please hand this sheet to the front desk.",
    ),
    "access_request": Form(
        "System access request",
        "Information security office",
        "#5a4fa2",
        (
            ("Requested by", "{PERSON}"),
            ("Work email", "{EMAIL_ADDRESS}"),
            ("Workstation IP", "{IP_ADDRESS}"),
            ("Reason", "Nightly backup of the image archive"),
        ),
        (("Read only", True), ("Administrator rights", False)),
        "Access ends automatically after ninety days.",
    ),
    "delivery_note": Form(
        "Delivery note",
        "Quayside Freight and Parcel",
        "#c8501e",
        (
            ("Recipient name", "{PERSON}"),
            ("Deliver to", "{ADDRESS}"),
            ("Contents", "Two oak chairs, one floor lamp"),
            ("Gross weight", "31.5 kg"),
        ),
        (("Fragile", True), ("Leave with neighbour", False)),
        "Check the parcel for damage before signing.",
    ),
}

LEASE: tuple[tuple[str, str], ...] = (
    (
        "Studio lease agreement",
        "Landlord: {PERSON}\nTenant: {PERSON_2}\n\n"
        "1. The landlord lets to the tenant the photographic studio on the second floor of the "
        "old rope factory, with its darkroom, store and freight lift.\n\n"
        "2. The lease begins on the first of March and runs for three years. It renews by one "
        "year unless either side gives notice six months before the end.",
    ),
    (
        "Rent and deposit",
        "3. The rent is 1850 a month, due on the third working day, and is paid to\n"
        "IBAN: {IBAN_CODE}\n\n"
        "4. The deposit is three months of rent. It is returned within sixty days of the keys "
        "being handed back, less the cost of repairs beyond ordinary wear.\n\n"
        "5. Heating, water and the chimney sweep are included; electricity is not.",
    ),
    (
        "House rules",
        "6. The skylight is kept closed in storms. Chemicals from the darkroom are never poured "
        "into the drain.\n\n"
        "7. Musical rehearsals end at ten in the evening. Bicycles belong in the courtyard.\n\n"
        "8. The tenant may sublet single desks, but not the darkroom.",
    ),
)

MANUAL: tuple[tuple[str, ...], ...] = (
    (
        "Samovar S2 teapot: user manual",
        "",
        "Before first use, boil fresh water in the pot twice and pour it away.",
        "Fill no higher than the mark below the spout. The lid locks with a quarter turn.",
        "The thermostat holds green tea at 80 degrees and black tea at 96 degrees.",
    ),
    (
        "Descaling",
        "",
        "When the orange light blinks, dissolve two spoons of citric acid in warm water.",
        "Let the solution stand for half an hour, then rinse three times.",
        "Never immerse the heating base. Unplug it before cleaning.",
    ),
)

# ---------------------------------------------------------------------------------- the canvas


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own typeface (Aileron), laid out without the optional shaping library."""
    face = ImageFont.load_default(size=size)
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise SystemExit("this Pillow was built without FreeType")
    return face.font_variant(layout_engine=ImageFont.Layout.BASIC)


def oval(cx: float, cy: float, rx: float, ry: float, start: int = 0, end: int = 360) -> list[Point]:
    """Points along an ellipse, clockwise from `start` degrees (0 is at the right)."""
    return [
        (cx + rx * math.cos(math.radians(a)), cy + ry * math.sin(math.radians(a)))
        for a in range(start, end + 1, 3)
    ]


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0) -> list[Point]:
    """Points around a rectangle with rounded corners."""
    corners = ((x1, y1, -1, -1, 0), (x0, y1, 1, -1, 90), (x0, y0, 1, 1, 180), (x1, y0, -1, 1, 270))
    return [
        point
        for x, y, dx, dy, angle in corners
        for point in oval(x + dx * radius, y + dy * radius, radius, radius, angle, angle + 90)
    ]


def curve(points: Sequence[Point], closed: bool = True, steps: int = 12) -> list[Point]:
    """A Catmull-Rom spline through the points."""
    ring = (
        [points[-1], *points, points[0], points[1]] if closed else [points[0], *points, points[-1]]
    )
    out = []
    for a, b, c, d in zip(ring, ring[1:], ring[2:], ring[3:], strict=False):
        for step in range(steps + 1):
            t = step / steps
            out.append(
                tuple(
                    0.5
                    * (
                        2 * b[i]
                        + (c[i] - a[i]) * t
                        + (2 * a[i] - 5 * b[i] + 4 * c[i] - d[i]) * t**2
                        + (3 * b[i] - a[i] - 3 * c[i] + d[i]) * t**3
                    )
                    for i in (0, 1)
                )
            )
    return [(x, y) for x, y in out]


def turned(points: Iterable[Point], cx: float, cy: float, degrees: float) -> list[Point]:
    """The points moved to a centre after turning them about the origin."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [(cx + x * cos - y * sin, cy + x * sin + y * cos) for x, y in points]


def lathe(cx: float, profile: Sequence[Point], smooth: bool = False) -> list[Point]:
    """The outline of a turned body, from (radius, height) pairs top to bottom."""
    side = curve(profile, closed=False) if smooth else list(profile)
    return [(cx + r, y) for r, y in side] + [(cx - r, y) for r, y in reversed(side)]


class Canvas:
    """A picture in logical units, drawn larger than it will be."""

    def __init__(self, width: float, height: float, ground: str, unit: float = 1) -> None:
        self.width, self.height = width, height
        self.scale = unit * OVERSAMPLE
        size = (round(width * self.scale), round(height * self.scale))
        self.image = Image.new("RGB", size, ground)
        self.pen = ImageDraw.Draw(self.image)

    def _pixels(self, points: Iterable[Point]) -> list[tuple[int, int]]:
        return [(round(x * self.scale), round(y * self.scale)) for x, y in points]

    def fill(self, points: Iterable[Point], colour: str, to: str = "", down: bool = False) -> None:
        """A filled shape; with `to`, shaded to that colour rightwards or downwards."""
        outline = self._pixels(points)
        if not to:
            self.pen.polygon(outline, fill=colour)
            return
        x0, y0 = min(x for x, _ in outline), min(y for _, y in outline)
        x1, y1 = max(x for x, _ in outline), max(y for _, y in outline)
        size = (x1 - x0 + 1, y1 - y0 + 1)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([(x - x0, y - y0) for x, y in outline], fill=255)
        ramp = Image.linear_gradient("L")
        ramp = (ramp if down else ramp.transpose(Image.Transpose.ROTATE_90)).resize(size)
        tile = Image.composite(Image.new("RGB", size, to), Image.new("RGB", size, colour), ramp)
        self.image.paste(tile, (x0, y0), mask)

    def glow(self, points: Iterable[Point], colour: str, blur: float, strength: float) -> None:
        """A shape with soft edges: a shadow, or light."""
        mask = Image.new("L", (self.image.width // 4, self.image.height // 4))
        outline = [(x // 4, y // 4) for x, y in self._pixels(points)]
        ImageDraw.Draw(mask).polygon(outline, fill=round(255 * strength))
        mask = mask.filter(ImageFilter.GaussianBlur(blur * self.scale / 4))
        self.image.paste(colour, (0, 0), mask.resize(self.image.size))

    def line(self, points: Sequence[Point], colour: str, width: float) -> None:
        """A stroke with round joints and ends."""
        path = self._pixels(points)
        self.pen.line(path, fill=colour, width=round(width * self.scale), joint="curve")
        for x, y in (points[0], points[-1]):
            self.fill(oval(x, y, width / 2, width / 2), colour)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        colour: str = INK,
        anchor: str = "la",
        bold: bool = False,
    ) -> None:
        """One line of text, at most as wide as the picture leaves room for."""
        face = font(round(size * self.scale))
        room = {"l": self.width - x, "r": x, "m": 2 * min(x, self.width - x)}[anchor[0]]
        if face.getlength(words) > room * self.scale:
            raise ValueError(f"too wide for its place: {words!r}")
        stroke = round(size * self.scale / 52) if bold else 0
        place = (round(x * self.scale), round(y * self.scale))
        self.pen.text(place, words, colour, face, anchor, stroke_width=stroke, stroke_fill=colour)

    def finish(self) -> Image.Image:
        """The picture at its real size."""
        return self.image.reduce(OVERSAMPLE)


@cache
def planted(path: str) -> dict[str, str]:
    """The personal data that one file shows, by entity; a second of a kind ends in _2."""
    values: dict[str, str] = {}
    for line in Path(__file__).with_name("planted.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["file"] == path and row["where"] == "pixels":
            key = row["entity"]
            values[f"{key}_2" if key in values else key] = row["value"]
    return values


def filled_in(path: str, words: str) -> str:
    """The words with the planted values of this file in their slots."""
    return words.format_map(planted(path))


# ---------------------------------------------------------------------------------- papers


def draw_receipt(path: str, receipt: Receipt) -> Image.Image:
    """A till receipt with a torn lower edge."""
    width, step = 680, 50
    height = 330 + step * (len(receipt.head) + len(receipt.lines) + len(receipt.foot) + 3)
    c = Canvas(width, height, "#d9d4ca")
    teeth = [(width - 30 - i * 20, height - 30 - 12 * (i % 2)) for i in range(32)]
    c.glow(box(30, 40, width - 24, height - 20), "#55503f", 8, 0.6)
    c.fill([(30, 30), (width - 30, 30), *teeth], PAPER)
    c.text(width / 2, 62, receipt.shop, 42, anchor="ma", bold=True)
    y = 136.0
    for words in receipt.head:
        c.text(width / 2, y, filled_in(path, words), 28, anchor="ma")
        y += step - 6
    y = rule(c, y + 12, width) + 22
    for label, price in receipt.lines:
        c.text(70, y, label, 30)
        c.text(width - 70, y, f"{price:.2f}", 30, anchor="ra")
        y += step
    y = rule(c, y + 6, width) + 22
    net = sum(price for _, price in receipt.lines)
    for label, value, bold in (
        ("Tax", net * receipt.tax, False),
        ("TOTAL", net * (1 + receipt.tax), True),
    ):
        c.text(70, y, label, 32, bold=bold)
        c.text(width - 70, y, f"${value:.2f}", 32, anchor="ra", bold=bold)
        y += step + 2
    y += 14
    for words in receipt.foot:
        c.text(width / 2, y, filled_in(path, words), 28, anchor="ma")
        y += step - 6
    stripes(c, 150, y + 10, width - 150, y + 62, random.Random(f"{SEED}{path}"))
    return c.finish()


def rule(c: Canvas, y: float, width: float) -> float:
    """A dashed line across a receipt."""
    for x in range(66, int(width) - 70, 18):
        c.line([(x, y), (x + 8, y)], GREY, 2)
    return y


def stripes(c: Canvas, x0: float, y0: float, x1: float, y1: float, chance: random.Random) -> None:
    """Something like a bar code."""
    x = x0
    while x < x1:
        bar = chance.choice((2, 3, 5, 7))
        c.fill([(x, y0), (x + bar, y0), (x + bar, y1), (x, y1)], INK)
        x += bar + chance.choice((3, 4, 6))


def draw_badge(path: str, badge: Badge) -> Image.Image:
    """An identity badge with a portrait, on a lanyard."""
    c = Canvas(640, 900, "#e4e7ea")
    for x in (270, 370):
        c.line([(x, -10), (320, 62)], badge.colour, 26)
    c.glow(box(44, 66, 604, 872, 34), "#5b6166", 10, 0.6)
    c.fill(box(40, 56, 600, 860, 34), PAPER)
    c.fill([*box(40, 56, 600, 200, 34)[62:], (600, 200), (40, 200)], badge.colour)
    c.fill(box(270, 72, 370, 90, 9), "#e4e7ea")
    c.text(320, 150, badge.organisation, 44, PAPER, "mm", bold=True)
    portrait(c, 320, 360, 120, badge)
    c.text(320, 540, badge.kind, 40, badge.colour, "mm", bold=True)
    name, middle, last = (filled_in(path, words) for words in badge.lines)
    c.text(320, 604, name, 42, anchor="mm", bold=True)
    c.text(320, 662, middle, 32, GREY, "mm")
    c.text(320, 714, last, 34, anchor="mm")
    stripes(c, 150, 760, 490, 820, random.Random(f"{SEED}{path}"))
    return c.finish()


def portrait(c: Canvas, x: float, y: float, r: float, badge: Badge) -> None:
    """A face without features, in a square frame."""
    c.fill(box(x - r, y - r, x + r, y + r, 14), "#cfe0ea", "#e9f0f3", down=True)
    inside = box(x - r * 0.8, y + r * 0.42, x + r * 0.8, y + r * 1.4, r * 0.42)
    c.fill([(px, min(py, y + r)) for px, py in inside], badge.colour)
    c.fill(oval(x, y - r * 0.2, r * 0.5, r * 0.58), badge.hair)
    c.fill(box(x - r * 0.16, y + r * 0.2, x + r * 0.16, y + r * 0.56, r * 0.14), badge.skin)
    c.fill(oval(x, y - r * 0.08, r * 0.38, r * 0.48), badge.skin)
    c.fill(oval(x, y - r * 0.24, r * 0.42, r * 0.36, 180, 360), badge.hair)


def draw_form(path: str, form: Form) -> Image.Image:
    """A form on paper, filled in with a pen."""
    height = 430 + 122 * len(form.fields)
    c = Canvas(900, height, PAPER)
    c.fill(box(0, 0, 900, 24), form.colour)
    c.text(60, 60, form.title, 52, form.colour, bold=True)
    c.text(60, 134, form.organisation, 28, GREY)
    y = 200
    for label, value in form.fields:
        c.text(60, y, label, 26, GREY)
        c.line([(60, y + 88), (840, y + 88)], "#9aa3ab", 2)
        c.text(76, y + 40, filled_in(path, value), 36, PEN)
        y += 122
    for (label, ticked), x in zip(form.ticks, (60, 440), strict=True):
        c.fill(box(x, y + 12, x + 36, y + 48), GREY)
        c.fill(box(x + 3, y + 15, x + 33, y + 45), PAPER)
        if ticked:
            c.line([(x + 8, y + 30), (x + 16, y + 40), (x + 40, y + 4)], PEN, 5)
        c.text(x + 60, y + 14, label, 28)
    c.text(60, y + 96, form.note, 26, GREY)
    scribble = [(600 + i * 12, y + 150 + 22 * math.sin(i * 1.9) - i) for i in range(18)]
    c.line(curve(scribble, closed=False), PEN, 3)
    c.text(60, y + 142, "Signature", 26, GREY)
    c.line([(560, y + 178), (840, y + 178)], "#9aa3ab", 2)
    return c.finish()


# ---------------------------------------------------------------------------------- charts

SERIES = ("#2f6f9f", "#e08a2c", "#4f9d69", "#b8475a", "#7d6bb0")


def chart_frame(title: str, subtitle: str) -> Canvas:
    """A white sheet with a title."""
    c = Canvas(900, 620, PAPER)
    c.text(60, 34, title, 40, bold=True)
    c.text(60, 92, subtitle, 26, GREY)
    return c


def grid(c: Canvas, top: float, step: float, lines: int) -> None:
    """Horizontal grid lines with their values; the lowest is zero."""
    for i in range(lines):
        y = 540 - i * (540 - top) / (lines - 1)
        c.line([(110, y), (850, y)], "#d5dade" if i else GREY, 1.5)
        c.text(96, y, f"{i * step:g}", 24, GREY, "rm")


def draw_revenue_bars() -> Image.Image:
    """Two bars for each quarter."""
    c = chart_frame("Revenue by quarter", "Million dollars, online and stores")
    grid(c, 160, 20, 5)
    for i, (online, stores) in enumerate(((31, 48), (36, 44), (45, 47), (66, 58))):
        x = 150 + i * 180
        for value, colour, dx in ((online, SERIES[0], 0), (stores, SERIES[1], 64)):
            c.fill(box(x + dx, 540 - value * 4.75, x + dx + 56, 540, 3), colour)
            c.text(x + dx + 28, 528 - value * 4.75, str(value), 24, anchor="ms")
        c.text(x + 60, 574, f"Q{i + 1}", 28, anchor="mm")
    for label, colour, x in (("Online", SERIES[0], 590), ("Stores", SERIES[1], 730)):
        c.fill(box(x, 94, x + 24, 118, 4), colour)
        c.text(x + 34, 92, label, 26)
    return c.finish()


def draw_visitors_line() -> Image.Image:
    """A line over twelve months."""
    c = chart_frame("Museum visitors per month", "Thousands, main building")
    grid(c, 160, 10, 7)
    values = (14, 16, 19, 23, 27, 34, 44, 46, 33, 25, 18, 21)
    points = [(140 + i * 62.0, 540 - v * 380 / 60) for i, v in enumerate(values)]
    c.fill([(140, 540), *points, (points[-1][0], 540)], "#d7e8f3", "#f5fafd", down=True)
    c.line(points, SERIES[0], 5)
    for (x, y), month in zip(points, "JFMAMJJASOND", strict=True):
        c.fill(oval(x, y, 8, 8), PAPER)
        c.fill(oval(x, y, 6, 6), SERIES[0])
        c.text(x, 572, month, 26, anchor="mm")
    c.text(points[7][0], points[7][1] - 34, "Summer exhibition", 26, SERIES[3], "ms", bold=True)
    return c.finish()


def draw_energy_pie() -> Image.Image:
    """A pie in five slices."""
    c = chart_frame("Where our electricity comes from", "Share of supply in percent")
    parts = (("Wind", 36), ("Solar", 24), ("Hydro", 18), ("Gas", 14), ("Other", 8))
    start = -90.0
    for i, ((label, share), colour) in enumerate(zip(parts, SERIES, strict=True)):
        end = start + share * 3.6
        turn = [math.radians(start + (end - start) * k / 60) for k in range(61)]
        c.fill(
            [(300, 375), *((300 + 205 * math.cos(a), 375 + 205 * math.sin(a)) for a in turn)],
            colour,
        )
        middle = turn[30]
        x, y = 300 + 135 * math.cos(middle), 375 + 135 * math.sin(middle)
        c.text(x, y, f"{share}%", 30, PAPER, "mm", bold=True)
        c.fill(box(580, 220 + i * 62, 612, 252 + i * 62, 5), colour)
        c.text(630, 236 + i * 62, label, 32, anchor="lm")
        start = end
    return c.finish()


def draw_exports_bars() -> Image.Image:
    """Horizontal bars, one per country."""
    c = chart_frame("Coffee exports by country", "Million bags of sixty kilograms")
    rows = (("Brazil", 39.2), ("Vietnam", 27.6), ("Colombia", 12.1), ("Ethiopia", 7.5))
    for i, (label, value) in enumerate(rows):
        y = 180 + i * 100
        c.text(230, y + 32, label, 32, anchor="rm")
        c.fill(box(250, y, 250 + value * 13, y + 64, 5), "#8a5a3c", "#a97350")
        c.text(266 + value * 13, y + 32, f"{value:.1f}", 30, anchor="lm")
    c.line([(250, 160), (250, 560)], GREY, 2)
    return c.finish()


# ---------------------------------------------------------------------------------- posters


def poster(sky: str, ground: str) -> Canvas:
    """An upright sheet shaded from one colour to the other."""
    c = Canvas(720, 960, sky)
    c.fill(box(0, 0, 720, 960), sky, ground, down=True)
    return c


def caption(c: Canvas, path: str, lines: Sequence[str]) -> None:
    """The small print, dark on a light band along the foot of a poster."""
    top = 940 - 46 * len(lines)
    c.fill(box(0, top - 20, 720, 960), "#fbf7ec")
    for i, words in enumerate(lines):
        c.text(360, top + 18 + 46 * i, filled_in(path, words), 30, anchor="mm")


def draw_jazz_night(path: str) -> Image.Image:
    """A moon over roofs, with piano keys below."""
    c = poster("#141a3c", "#5a3a78")
    c.glow(oval(470, 400, 190, 190), "#f7d68a", 40, 0.45)
    c.fill(oval(470, 400, 150, 150), "#fbe6b0", "#f1c56a", down=True)
    chance = random.Random(SEED)
    for _ in range(60):
        x, y = chance.uniform(0, 720), chance.uniform(0, 520)
        if math.hypot(x - 470, y - 400) > 170:
            c.fill(oval(x, y, 2, 2), "#f4ecd2")
    x = 0.0
    while x < 720:
        width, top = chance.uniform(50, 100), chance.uniform(470, 610)
        c.fill(box(x, top, x + width, 720), "#10142b")
        for wx in range(int(x) + 12, int(x + width) - 14, 20):
            for wy in range(int(top) + 16, 690, 30):
                if chance.random() < 0.35:
                    c.fill(box(wx, wy, wx + 9, wy + 14), "#f2c45c")
        x += width
    for i in range(12):
        c.fill(box(i * 60, 700, i * 60 + 57, 850, 4), "#f6f1e3")
    for i in range(12):
        if i % 7 in (0, 1, 3, 4, 5):
            c.fill(box(i * 60 + 40, 700, i * 60 + 78, 790, 4), "#16182b")
    c.text(360, 110, "JAZZ NIGHT", 104, "#fbe6b0", "mm", bold=True)
    c.text(360, 190, "Piano trio at the boathouse", 38, "#f6f1e3", "mm")
    caption(c, path, ("Saturday 8 June, doors 7 pm", "Tickets: {EMAIL_ADDRESS}"))
    return c.finish()


def draw_summer_sale(path: str) -> Image.Image:
    """A sun over the sea and a parasol on the sand."""
    c = poster("#56b9e0", "#bfe9f2")
    for i in range(24):
        a = math.radians(i * 15)
        b = math.radians(i * 15 + 7)
        far = [(360 + 900 * math.cos(t), 470 + 900 * math.sin(t)) for t in (a, b)]
        c.fill([(360, 470), *far], "#7cc9e6")
    c.fill(oval(360, 470, 170, 170), "#ffdf6b", "#ff9f3f", down=True)
    c.fill(box(0, 560, 720, 760), "#1f86b5", "#3fb0c6", down=True)
    for y in (600, 650, 700):
        wave = [(x, y + 8 * math.sin(x / 38 + y)) for x in range(-10, 740, 10)]
        c.line(wave, "#9adbe6", 4)
    shore = [(x, 730 + 14 * math.sin(x / 90)) for x in range(-10, 740, 10)]
    c.fill([*shore, (730, 960), (-10, 960)], "#f6dfa4")
    c.line([(540, 800), (590, 600)], "#f7f3e8", 9)
    for i in range(6):
        a, b = 180 + i * 30, 210 + i * 30
        slice_ = [(0, 0), *oval(0, 0, 120, 96, a, b)]
        c.fill(turned(slice_, 592, 616, 14), "#e2483d" if i % 2 else "#fff6ea")
    c.text(360, 112, "SUMMER SALE", 92, PAPER, "mm", bold=True)
    c.text(360, 470, "-40%", 110, "#b3321f", "mm", bold=True)
    caption(c, path, ("Sandals, hats and swimwear", "Until the end of July"))
    return c.finish()


def draw_farmers_market(path: str) -> Image.Image:
    """A striped awning over crates of vegetables."""
    c = poster("#fdf3d8", "#f6e2b0")
    for i in range(9):
        colour = "#3d8b4b" if i % 2 else "#fffdf6"
        x = i * 80
        c.fill([(x, 0), (x + 80, 0), (x + 80, 90), *oval(x + 40, 90, 40, 34, 0, 180)], colour)
    c.text(360, 212, "FARMERS", 100, "#2c5e34", "mm", bold=True)
    c.text(360, 312, "MARKET", 100, "#c4512d", "mm", bold=True)
    c.text(360, 392, "Every Sunday on the old square", 38, INK, "mm")
    for i in range(5):
        crate_carrot(c, 100 + i * 48, 500 + 8 * (i % 2))
    for x, y in ((420, 620), (500, 628), (580, 618), (460, 566), (542, 562), (630, 590)):
        c.fill(oval(x, y, 46, 42), "#ee6a4d", "#b92b22")
        for a in range(0, 360, 72):
            leaf = [(0, 0), (20, -5), (24, 0), (20, 5)]
            c.fill(turned(leaf, x, y - 34, a), "#3d8b4b")
    for x0, x1 in ((50, 340), (370, 680)):
        c.fill(box(x0, 640, x1, 810, 6), "#c08a4f", "#a06e3a")
        for y in (692, 748):
            c.line([(x0 + 6, y), (x1 - 6, y)], "#7f5428", 5)
    caption(c, path, ("Fresh vegetables, honey and cheese",))
    return c.finish()


def crate_carrot(c: Canvas, x: float, y: float) -> None:
    """A carrot standing on its tip."""
    for a in (-30, -12, 10, 28):
        c.line(turned([(0, 0), (0, -64)], x + 20, y + 22, a), "#3d8b4b", 9)
    c.fill(curve([(x, y + 26), (x + 20, y + 14), (x + 40, y + 26), (x + 22, y + 190)]), "#f39a3d")
    for k in (52, 84, 112):
        c.line([(x + 10, y + k), (x + 22, y + k + 3)], "#c86f1c", 3)


def draw_safety_first(path: str) -> Image.Image:
    """A hard hat between hazard stripes."""
    c = poster("#ffd23f", "#f7b71d")
    for top in (0, 790):
        c.fill(box(0, top, 720, top + 70), INK)
        for x in range(-80, 760, 80):
            c.fill([(x, top + 70), (x + 40, top + 70), (x + 90, top), (x + 50, top)], "#ffd23f")
    c.text(360, 160, "SAFETY FIRST", 92, INK, "mm", bold=True)
    c.text(360, 240, "Wear your hard hat", 48, INK, "mm")
    c.glow(oval(360, 690, 260, 24), "#8a5a00", 14, 0.7)
    c.fill(oval(360, 620, 220, 270, 180, 360), "#fffdf6", "#cfd3d6")
    c.fill(oval(360, 620, 46, 279, 180, 360), "#e6e8ea")
    for x in (240, 480):
        side = [(x, 620), (x + (x < 360) * 60 - 30, 430)]
        c.line(side, "#b9bec2", 6)
    c.fill(box(90, 610, 630, 670, 28), "#f4f5f6", "#b9bec2", down=True)
    caption(c, path, ("No entry without helmet and boots",))
    return c.finish()


def draw_tech_meetup(path: str) -> Image.Image:
    """A net of dots."""
    c = poster("#0e3b43", "#1f7a78")
    chance = random.Random(SEED + 1)
    dots = [(chance.uniform(40, 680), chance.uniform(330, 740)) for _ in range(46)]
    for i, a in enumerate(dots):
        for b in dots[i + 1 :]:
            if math.dist(a, b) < 120:
                c.line([a, b], "#5fb3ab", 2.5)
    for i, (x, y) in enumerate(dots):
        r = 8 + 10 * chance.random()
        c.fill(oval(x, y, r, r), ("#f7c548", "#e9f5ef", "#f08a5d")[i % 3])
    c.text(360, 110, "VECTOR MEETUP", 78, "#e9f5ef", "mm", bold=True)
    c.text(360, 184, "Nearest neighbours for everyone", 38, "#f7c548", "mm")
    c.text(360, 244, "Room 3, library annex", 34, "#e9f5ef", "mm")
    caption(c, path, ("Speaker: {PERSON}", "Thursday 18:30, free entry"))
    return c.finish()


# ---------------------------------------------------------------------------------- products


def stage(wall: str, floor: str, shadow: Sequence[Point] = ()) -> Canvas:
    """A square of a hundred units: a wall, a floor, and the shadow of the thing to come."""
    c = Canvas(100, 100, wall, unit=7)
    c.fill(box(0, 70, 100, 100), floor, wall, down=True)
    c.glow([(0, 69), (100, 69), (100, 71), (0, 71)], floor, 2, 0.9)
    if shadow:
        c.glow(shadow, "#3a352f", 1.6, 0.55)
    return c


def draw_mug() -> Image.Image:
    """A blue mug of coffee."""
    c = stage("#f3ede2", "#dccfb9", oval(50, 81, 30, 3.4))
    c.line(oval(66, 54, 13, 13, -100, 110), "#2a5f8f", 5.4)
    c.line(oval(66, 54, 13, 13, -78, 60), "#4d8abb", 1.4)
    c.fill([(24, 32), *oval(46, 77, 19, 4, 0, 180)[::-1], (68, 32)], "#5b9bd0", "#235683")
    c.fill(oval(46, 32, 22, 5.4), "#7fb4dd", "#3b77a8")
    c.fill(oval(46, 32.6, 19.6, 4.1), "#4b2c17", "#6f4526")
    c.fill(box(29, 42, 31.4, 68, 1.2), "#86bbe3")
    for x in (38, 46, 54):
        steam = [(x + 1.8 * math.sin(k / 2.2), 25 - k * 1.5) for k in range(10)]
        c.line(curve(steam, closed=False), "#fbf8f2", 1.3)
    return c.finish()


def draw_tshirt() -> Image.Image:
    """A white shirt with a rising sun."""
    c = Canvas(100, 100, "#9ec5c3", unit=7)
    left = [(41, 17), (27, 22), (9, 41), (20, 51), (29, 43), (28, 86)]
    outline = [*left, *((100 - x, y) for x, y in reversed(left))]
    c.glow([(x + 1, y + 2) for x, y in outline], "#3d5c5b", 1.4, 0.6)
    c.fill(outline, "#fdfcf8", "#e6e3da")
    c.fill(oval(50, 17, 9, 8, 0, 180), "#c9c5b9")
    c.line(oval(50, 17, 9, 8, 0, 180), "#d8d4c8", 1.6)
    for sign in (1, -1):
        seam = [(50 + sign * 23, 22.5), (50 + sign * 20, 34), (50 + sign * 21, 43)]
        c.line(curve(seam, closed=False), "#d2cec2", 0.5)
        c.line([(50 + sign * 38.5, 40), (50 + sign * 28.8, 48.8)], "#d2cec2", 0.5)
    c.line([(29, 83), (71, 83)], "#d2cec2", 0.5)
    c.fill(oval(50, 54, 12, 12, 180, 360), "#f2a03d", "#e2603a", down=True)
    for a in range(195, 360, 25):
        c.line(turned([(14, 0), (18, 0)], 50, 54, a), "#e88a35", 1.4)
    for i, half in enumerate((14, 10, 6)):
        c.line([(50 - half, 57 + i * 3), (50 + half, 57 + i * 3)], "#2f6f9f", 1.2)
    return c.finish()


def draw_sneaker() -> Image.Image:
    """A red running shoe from the side."""
    c = stage("#eef0f2", "#cfd4d9", oval(50, 78, 44, 3))
    heel = [(12, 70), (10.5, 58), (12, 46), (15, 38), (20, 36.5), (27, 42), (35, 43)]
    front = [(41, 38), (45, 34), (49, 35), (56, 44), (68, 53), (82, 57), (91, 63), (93, 70)]
    upper = curve([*heel, *front, (60, 72), (30, 72)])
    c.fill(upper, "#e4573d", "#b8322a")
    c.fill(
        curve([(15.5, 38.5), (20, 38), (27, 43.5), (35, 44.5), (40, 41), (30, 48), (19, 45)]),
        "#5f1f1a",
    )
    c.fill(
        curve([(10.9, 60), (12, 47), (16, 45), (22, 52), (25, 62), (24, 71), (12, 71)]), "#8f2721"
    )
    c.fill(curve([(78, 71), (76, 62), (82, 57.4), (91, 63), (93, 71)]), "#f3f0ea", "#d9d4cb")
    for i in range(3):
        x = 36 + i * 8
        c.fill([(x, 69), (x + 4, 69), (x + 11, 51 + i), (x + 8, 50 + i)], "#fdf9f2")
    for i in range(5):
        lace = turned([(-4.2, 4.6), (1.6, -0.4)], 47 + i * 4.6, 38.5 + i * 3.6, 0)
        c.line(lace, "#ffffff", 1.3)
    sole = [(10, 69), (30, 70), (60, 70), (94, 68), (95, 73), (90, 77), (40, 77), (12, 76.5)]
    c.fill(curve(sole), "#ffffff", "#dcdcdc")
    c.line([(13, 75.4), (91, 75.4)], "#4a4a4a", 1.6)
    return c.finish()


def draw_chair() -> Image.Image:
    """A wooden chair with a ladder back."""
    c = stage("#e6ecdf", "#c9cfb9", oval(52, 88, 30, 4))
    dark, mid, light = "#8a5a2e", "#b07a43", "#d6a468"
    for x in (36, 64):
        c.line([(x, 56), (x + (x - 50) * 0.04, 80)], dark, 3.2)
    c.line([(37, 70), (63, 70)], dark, 2)
    for sign in (-1, 1):
        c.line([(50 + sign * 15.5, 54), (50 + sign * 17.5, 12)], mid, 3.6)
    for y, drop in ((15, 7), (27, 5.5), (38, 5)):
        top = curve([(33, y), (50, y - 2), (67, y)], closed=False)
        c.fill([*top, *((x, yy + drop) for x, yy in reversed(top))], light, mid)
    c.fill([(33, 52), (67, 52), (75, 61), (25, 61)], "#e3b77f", light, down=True)
    c.fill(box(24.6, 60.6, 75.4, 65, 1.2), mid, dark)
    for x in (28, 72):
        foot = x + (x - 50) * 0.06
        leg = [(x - 2, 65), (x + 2, 65), (foot + 1.4, 90), (foot - 1.4, 90)]
        c.fill(leg, light, mid)
    c.line([(29, 78), (71, 78)], mid, 2.2)
    return c.finish()


def draw_lamp() -> Image.Image:
    """A lit table lamp."""
    c = stage("#3f4a63", "#574a4b", oval(50, 86, 22, 3))
    c.glow(oval(50, 44, 34, 34), "#f9d98a", 9, 0.55)
    c.fill(
        lathe(50, [(1.2, 44), (1.2, 56), (3, 60), (7.5, 68), (8.5, 75), (5, 82), (3, 84)], True),
        "#7fc0b4",
        "#2b6a68",
    )
    c.fill(oval(50, 84, 14, 3.2), "#d9a441", "#8a5e1a")
    c.fill(oval(50, 83, 13, 2.6), "#f0c468", "#b7832f")
    c.fill([(37, 14), (63, 14), *oval(50, 47, 25, 3.4, 0, 180)], "#fff0c4", "#f3c672", down=True)
    c.fill(oval(50, 14, 13, 1.8), "#fff8e0")
    c.line([(25.2, 47), *oval(50, 47, 24.8, 3.2, 0, 180)[::-1]], "#d99f45", 0.9)
    return c.finish()


def draw_bottle() -> Image.Image:
    """A green glass bottle with a paper label."""
    c = stage("#f6efe6", "#e0d2c0", oval(52, 89, 18, 2.8))
    neck = [(4, 12), (4, 30), (5, 36), (12, 45), (14, 50), (14, 86), (12.5, 89)]
    c.fill(lathe(50, neck), "#5aa06a", "#1f5434")
    c.fill(box(45.2, 9, 54.8, 17, 1), "#d8b24c", "#94701c")
    c.fill(box(38.4, 48, 40.4, 85, 1), "#a5d6ad")
    c.fill(box(47.2, 19, 48.4, 34, 0.6), "#a5d6ad")
    c.fill(box(36, 55, 64, 80), "#fbf4df", "#e6d7b0")
    c.fill(box(36, 56.4, 64, 57.2), "#b9893b")
    c.fill(box(36, 77.8, 64, 78.6), "#b9893b")
    for a in range(0, 360, 45):
        c.fill(turned(oval(3.4, 0, 2.4, 1.3), 50, 67.5, a), "#c9a03a" if a % 90 else "#8aa65a")
    c.fill(oval(50, 67.5, 1.6, 1.6), "#7c5a1c")
    return c.finish()


def draw_clock() -> Image.Image:
    """A round wall clock at ten past ten."""
    c = Canvas(100, 100, "#d8c7b3", unit=7)
    c.glow(oval(52, 53.5, 39, 39), "#4d4235", 2, 0.65)
    c.fill(oval(50, 50, 39, 39), "#4a4a4d", "#1b1b1d", down=True)
    c.fill(oval(50, 50, 35, 35), "#ffffff", "#eeece6", down=True)
    for minute in range(60):
        full = minute % 5 == 0
        mark = [(30 if full else 31.6, 0), (33, 0)]
        c.line(turned(mark, 50, 50, minute * 6), INK, 1.2 if full else 0.4)
    for hour in range(1, 13):
        a = math.radians(hour * 30 - 90)
        x, y = 50 + 25.4 * math.cos(a), 50 + 25.4 * math.sin(a)
        c.text(x, y, str(hour), 7, INK, "mm", bold=True)
    for degrees, length, width in ((305, 16, 2.4), (60, 24, 1.7)):
        c.line(turned([(-4, 0), (length, 0)], 50, 50, degrees - 90), INK, width)
    c.line(turned([(-6, 0), (27, 0)], 50, 50, 120), "#c93a2e", 0.7)
    c.fill(oval(50, 50, 2, 2), "#c93a2e")
    return c.finish()


def draw_backpack() -> Image.Image:
    """A green rucksack with a front pocket."""
    c = stage("#f2e9dd", "#d9cab5", oval(50, 88, 30, 3.4))
    c.line(oval(50, 17, 8, 8, 180, 360), "#2d4a3a", 2.6)
    for sign in (-1, 1):
        x = 50 + sign * 27
        c.fill(box(x - 6, 54, x + 6, 84, 5), "#3d6b52", "#274636")
    outline = [(50, 13), (66, 16), (74, 28), (76, 55), (75, 82), (68, 88), (50, 88.6)]
    c.fill(curve([*outline, *((100 - x, y) for x, y in outline[-2:0:-1])]), "#5f9a78", "#356049")
    c.line(curve([(29, 40), (34, 26), (50, 22), (66, 26), (71, 40)], False), "#24412f", 1.1)
    c.fill(box(68.6, 37, 71.4, 45, 1.2), "#d8a64a")
    c.fill(box(32, 52, 68, 82, 6), "#6fac89", "#437459")
    c.line([(35, 60), (65, 60)], "#24412f", 1.1)
    c.fill(box(61, 59, 63.4, 66, 1), "#d8a64a")
    for x in (40, 60):
        c.fill(box(x - 1.6, 30, x + 1.6, 52, 1), "#8a5a34")
        c.fill(box(x - 2.6, 43, x + 2.6, 48, 1), "#d8a64a")
    c.fill(box(45, 67, 55, 74, 1), "#f2e6cf")
    return c.finish()


def draw_umbrella() -> Image.Image:
    """An open umbrella, red and white."""
    c = Canvas(100, 100, "#cfdde8", unit=7)
    chance = random.Random(SEED + 2)
    for _ in range(46):
        x, y = chance.uniform(0, 100), chance.uniform(2, 96)
        c.line([(x, y), (x - 1, y + 4)], "#a9c1d4", 0.5)
    c.line([(50, 10), (50, 84), *oval(56, 84, 6, 6, 0, 180)[::-1]], "#5b3a20", 2.2)
    rims = (10, 24, 41, 59, 76, 90)
    for i, (x0, x1) in enumerate(pairwise(rims)):
        left = curve([(50, 14), (50 + (x0 - 50) * 0.72, 26), (x0, 54)], False)
        right = curve([(50, 14), (50 + (x1 - 50) * 0.72, 26), (x1, 54)], False)
        hem = oval((x0 + x1) / 2, 54, (x1 - x0) / 2, 4.5, 180, 360)
        shade = ("#fdfaf3", "#dcd6ca") if i % 2 else ("#e8513f", "#b22a25")
        c.fill([*left, *hem, *reversed(right)], shade[0], shade[1], down=True)
    c.line([(50, 8), (50, 14)], "#5b3a20", 1.8)
    return c.finish()


def draw_headphones() -> Image.Image:
    """Over-ear headphones."""
    c = stage("#e8e4f1", "#cbc4dc", oval(50, 86, 36, 3))
    c.line(oval(50, 50, 31, 36, 180, 360), "#2c2c34", 6.4)
    c.line(oval(50, 50, 31.6, 36.8, 200, 300), "#5d5d6b", 1.4)
    for sign in (-1, 1):
        x = 50 + sign * 31
        c.line([(x, 46), (x, 56)], "#9a9aa6", 3)
        c.fill(box(x - sign * 4 - 5, 50, x - sign * 4 + 5, 84, 5), "#14141a", "#2f2f39")
        c.fill(box(x + sign * 2 - 6.5, 48, x + sign * 2 + 6.5, 85, 6), "#4c4c5a", "#24242c")
        c.fill(box(x + sign * 4 - 1, 56, x + sign * 4 + 1, 77, 1), "#e0a24a")
    return c.finish()


def draw_plant() -> Image.Image:
    """A leafy plant in a terracotta pot."""
    c = stage("#eaf0ee", "#cdd8d3", oval(50, 88, 22, 3))
    leaf = curve([(0, 0), (10, -7), (25, -7), (37, 0), (25, 7), (10, 7)])
    angles = (-172, -8, -150, -30, -128, -52, -108, -72, -90)
    for i, angle in enumerate(angles):
        size = 0.82 + 0.05 * i
        shape = [(x * size, y * size) for x, y in leaf]
        base = (50 + 4 * math.cos(math.radians(angle)), 55)
        c.fill(turned(shape, *base, angle), ("#2f7a4a", "#3f9158", "#57a868")[i % 3])
        c.line(turned([(0, 0), (33 * size, 0)], *base, angle), "#a8d6a2", 0.6)
    c.fill([(33, 60), (67, 60), (61, 88), (39, 88)], "#d98a5b", "#a3532c")
    c.fill(box(30.5, 53, 69.5, 62, 1.4), "#e39a6c", "#b1603a")
    return c.finish()


def draw_teapot() -> Image.Image:
    """A round yellow teapot."""
    c = stage("#e3ecf3", "#c2d0dc", oval(50, 83, 32, 3.4))
    c.line(oval(23, 57, 13, 14, 70, 290), "#c48a1f", 4.4)
    spout = [(68, 66), (80, 60), (84, 44), (91, 40), (94, 43), (89, 52), (84, 68), (70, 77)]
    c.fill(curve(spout), "#f2c14a", "#c08318")
    c.fill(
        lathe(48, [(12, 38), (22, 43), (27, 58), (23, 74), (15, 82)], True), "#fbd76e", "#c5871b"
    )
    c.fill(oval(48, 38.6, 13, 3), "#b3781a")
    c.fill(
        [*oval(48, 37.6, 12, 8, 180, 360), *oval(48, 37.6, 12, 2.6, 0, 180)], "#fbd76e", "#cf9426"
    )
    c.fill(oval(48, 28, 3.4, 3.2), "#f2c14a", "#b3781a")
    c.fill(curve([(28, 52), (33, 45), (34, 48), (31, 56), (30, 64), (27, 60)]), "#fdeaae")
    for a in range(0, 360, 60):
        c.fill(turned(oval(4, 0, 2.8, 2), 49, 60, a), "#fffaf0")
    c.fill(oval(49, 60, 2.4, 2.4), "#d0603a")
    return c.finish()


# ---------------------------------------------------------------------------------- documents


def draw_lease(path: str) -> list[Image.Image]:
    """The pages of a contract, as a scanner would give them: no text, only pixels."""
    pages = []
    for number, (title, body) in enumerate(LEASE, 1):
        c = Canvas(900, 1160, PAPER)
        c.text(90, 100, title, 50, bold=True)
        y = 210
        for paragraph in filled_in(path, body).split("\n"):
            for words in textwrap.wrap(paragraph, 48) or [""]:
                c.text(90, y, words, 31)
                y += 48
        c.text(450, 1090, f"Page {number} of {len(LEASE)}", 26, GREY, "mm")
        pages.append(c.finish().convert("L"))
    return pages


def text_pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """A PDF whose words are text, in a typeface that every reader has."""
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids ["
        + " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
        + "] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, lines in enumerate(pages):
        shown = [re.sub(r"([()\\])", r"\\\1", words) for words in lines]
        rows = "\n".join(f"({words}) Tj T*" for words in shown)
        stream = f"BT /F1 13 Tf 22 TL 60 770 Td\n{rows}\nET"
        bodies += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(bodies) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return out + f"{end}startxref\n{len(out)}\n%%EOF\n".encode("ascii")


# ---------------------------------------------------------------------------------- writing

Drawer = Callable[[], Image.Image]
PRODUCTS: tuple[Drawer, ...] = (
    draw_mug,
    draw_tshirt,
    draw_sneaker,
    draw_chair,
    draw_lamp,
    draw_bottle,
    draw_clock,
    draw_backpack,
    draw_umbrella,
    draw_headphones,
    draw_plant,
    draw_teapot,
)
CHARTS: tuple[Drawer, ...] = (
    draw_revenue_bars,
    draw_visitors_line,
    draw_energy_pie,
    draw_exports_bars,
)
POSTERS: tuple[Callable[[str], Image.Image], ...] = (
    draw_jazz_night,
    draw_summer_sale,
    draw_farmers_market,
    draw_safety_first,
    draw_tech_meetup,
)


def save(out: Path, path: str, image: Image.Image) -> None:
    """A JPEG, or a PNG with a palette: these have few colours."""
    target = out / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".jpg":
        image.save(target, quality=85, subsampling=0)
    else:
        image.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)


def write_pictures(out: Path) -> None:
    """Everything that is a drawing."""
    for name, receipt in RECEIPTS.items():
        save(out, f"receipts/{name}.png", draw_receipt(f"receipts/{name}.png", receipt))
    for name, badge in BADGES.items():
        save(out, f"badges/{name}.png", draw_badge(f"badges/{name}.png", badge))
    for name, form in FORMS.items():
        save(out, f"forms/{name}.png", draw_form(f"forms/{name}.png", form))
    for make in POSTERS:
        path = f"posters/{make.__name__.removeprefix('draw_')}.jpg"
        save(out, path, make(path))
    for drawers, pattern in ((PRODUCTS, "products/{}.jpg"), (CHARTS, "charts/{}.png")):
        for draw in drawers:
            save(out, pattern.format(draw.__name__.removeprefix("draw_")), draw())


def write_documents(out: Path) -> None:
    """The two PDFs: one that is scanned, one that holds text."""
    first, *others = draw_lease("documents/studio_lease.pdf")
    day = time.strptime("2024-02-20", "%Y-%m-%d")
    (out / "documents").mkdir(parents=True, exist_ok=True)
    first.save(
        out / "documents/studio_lease.pdf",
        save_all=True,
        append_images=others,
        title="Studio lease",
        creationDate=day,
        modDate=day,
        resolution=108,
    )
    (out / "documents/teapot_manual.pdf").write_bytes(text_pdf(MANUAL))


def write_photos(out: Path) -> bool:
    """Copies of the two photographs inside scikit-learn and a cut; False where it is missing."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        return False
    source = Path(spec.origin).parent / "datasets" / "images"
    (out / "photos").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "flower.jpg", out / "photos/flower.jpg")
    shutil.copyfile(source / "china.jpg", out / "photos/temple.jpg")
    with Image.open(source / "china.jpg") as photo:
        save(out, "photos/temple_roof.jpg", photo.crop((10, 10, 380, 270)))
    return True


def draw_all(out: Path) -> None:
    """Writes all pictures and PDFs under one folder."""
    write_pictures(out)
    write_documents(out)
    if not write_photos(out):
        print("scikit-learn is not installed: the photographs are left as they are")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    draw_all(parser.parse_args().out)


if __name__ == "__main__":
    main()
