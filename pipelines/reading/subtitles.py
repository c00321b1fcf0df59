"""Subtitles beside a recording (WebVTT, SubRip): who wrote them knew better what was said."""

import html
import re

from pipelines.errors import BadInput
from pipelines.models.protocols import SpokenWord
from pipelines.reading.media import decode_text
from pipelines.settings import Settings

# A cue's number or name stands right above its times: after an empty line, or a number alone.
_HEAD = re.compile(r"^(?:(?:(?<=\n\n).+|\d+)\n)?(.*-->.*)$", re.MULTILINE)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.]+>|\{[^{}]*\}")


def read_subtitles(data: bytes, name: str, settings: Settings) -> list[SpokenWord]:
    """Read a `.vtt` or `.srt` file: one phrase a cue, without markup, in the order of time.

    Raises BadInput for a text that is too long, without cues, or with cues that take no time.
    """
    import pysubs2

    lines = decode_text(data, settings).splitlines()
    text = "\n".join(line.strip() for line in lines)
    kind = "vtt" if text.startswith("WEBVTT") else "srt"
    # pysubs2 takes a last line of digits for the next cue's number, so every cue gets one.
    text = _HEAD.sub(r"\n0\n\1", text)
    subtitles = pysubs2.SSAFile.from_string(text, format_=kind, keep_html_tags=True)
    cues: list[SpokenWord] = []
    for event in subtitles:
        said = event.text.replace(r"\N", "\n")
        if kind == "vtt":  # where a note or a style may follow
            said = said.partition("\n\n")[0]
        if said := " ".join(html.unescape(_TAG.sub("", said)).split()):
            cues.append(SpokenWord(said, event.start / 1000, event.end / 1000))
    if not cues:
        raise BadInput(f"{name} holds no subtitles; save it as SubRip or WebVTT, or remove it")
    if broken := sum(cue.end_s <= cue.start_s for cue in cues):
        raise BadInput(f"{broken} cues of {name} do not end after they begin; correct their times")
    return sorted(cues, key=lambda cue: (cue.start_s, cue.end_s))
