import pytest

from pipelines.errors import BadInput
from pipelines.models.protocols import SpokenWord
from pipelines.reading.subtitles import read_subtitles
from pipelines.settings import Settings

SETTINGS = Settings()

VTT = """WEBVTT - a title

STYLE
::cue { color: red }

NOTE
Not said.

intro
00:00:01.000 --> 00:00:03.000 line:0 position:20% align:left
<v Ann Lee>We are <c.yellow>in</c> New York <00:00:01.500>City &amp; now &lt;3

NOTE Not said either.

00:08.000 --> 00:09.000
my number is
5550199

00:04.500 --> 00:05.500
5 < 6

00:06.000 --> 00:06.500

"""

SRT = """1
00:00:01,000 --> 00:00:03,000
<i>Hi</i> {\\an8}there, <font color="red">you</font>

2
00:00:04,000 --> 00:00:05,000  X1:20 X2:30
- A & b
- at the café
3
00:00:06,000 --> 00:00:07,250
5550199

still said
"""


def test_cues_of_webvtt_without_markup_notes_and_names() -> None:
    assert read_subtitles(VTT.encode(), "a.vtt", SETTINGS) == [
        SpokenWord("We are in New York City & now <3", 1.0, 3.0),
        SpokenWord("5 < 6", 4.5, 5.5),
        SpokenWord("my number is 5550199", 8.0, 9.0),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_cues_of_subrip_in_common_encodings(encoding: str, newline: str) -> None:
    data = SRT.replace("\n", newline).encode(encoding)
    assert read_subtitles(data, "a.srt", SETTINGS) == [
        SpokenWord("Hi there, you", 1.0, 3.0),
        SpokenWord("- A & b - at the café", 4.0, 5.0),
        SpokenWord("5550199 still said", 6.0, 7.25),
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"only words", "no subtitles; save it as SubRip or WebVTT"),
        (b"WEBVTT\n\n", "no subtitles"),
        (b"1\n00:00:01,000 to 00:00:02\nx\n", "no subtitles"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n<i></i>\n", "no subtitles"),
        (b"1\n00:00:02,000 --> 00:00:02,000\nx\n", "1 cues of a.srt do not end after"),
        (b"WEBVTT\n\n00:05.000 --> 00:04.000\nx\n", "correct their times"),
        (b"1\n" * 20_000, "more than max_characters = 10,000"),
    ],
)
def test_what_is_broken_is_refused_saying_what_to_do(data: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_subtitles(data, "a.srt", Settings(max_characters=10_000))
