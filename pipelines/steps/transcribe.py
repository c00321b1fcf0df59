"""What is said: transcripts with times, and the sound itself without what must not be heard.

Subtitles beside a file win over speech recognition. Personal data is masked in the words and
silenced in the sound, which is listened to again before any of it is stored.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from pipelines.catalog.sources import locate
from pipelines.errors import BadInput, MediadexError
from pipelines.models.protocols import RATE, Recognizer, SpokenWord
from pipelines.models.voice import VoiceActivity
from pipelines.privacy import spoken
from pipelines.privacy.pii import Detector
from pipelines.privacy.spoken import RedactedSpeech, SpokenFinding, redact_speech, silence
from pipelines.progress import reporter
from pipelines.reading import passages, sound, subtitles, transcribing
from pipelines.reading.passages import split_speech
from pipelines.reading.sound import as_flac, decode_sound, pieces
from pipelines.reading.subtitles import read_subtitles
from pipelines.reading.transcribing import transcribe
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.steps.items import (
    STREAMS_TOGETHER,
    ItemRows,
    ItemStep,
    finding_row,
    original,
    segment_row,
    text_row,
)
from pipelines.steps.runner import Input
from pipelines.store import Store
from pipelines.versions import step_version

SOURCE = "transcript"
_AROUND_S = 5.0  # of a silenced span, listened to again
_SUBTITLES = "subtitles"


class TranscriptStep(ItemStep):
    """One item's words, findings, and pieces of sound."""

    name = "transcripts"
    together: int | None = STREAMS_TOGETHER
    reads = "array_has(modalities, 'sound')"
    parts = ("sound-", "speech-")
    sources = (SOURCE,)

    def __init__(
        self,
        store: Store,
        voice: VoiceActivity,
        recognizer: Recognizer,
        detector: Detector,
        settings: Settings,
    ):
        self.store = store
        self._voice = voice
        self._recognizer = recognizer
        self._detector = detector
        self._settings = settings
        self.accelerated = settings.recognizer != "builtin"
        self.bounds = digest(str(settings.max_seconds), str(settings.max_characters))[:16]

    @property
    def model(self) -> str:
        """Key of the model that recognises speech."""
        return self._recognizer.identity.key

    @property
    def version(self) -> str:
        """Version of what becomes of sound without subtitles."""
        return self._version(self._voice.identity, self._recognizer.identity)

    def _version(self, *models: Any) -> str:
        return step_version(
            self.name,
            CODE,
            self._detector.identity,
            *models,
            piece=self._settings.sound_piece_s,
            overlap=self._settings.sound_overlap_s,
        )

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row per live item with sound; subtitles need no speech recognition."""
        version = f"CASE WHEN subtitles_hash IS NULL THEN '{self.version}'"
        version += f" ELSE '{self._version()}.' || subtitles_hash END"
        return self._items(f"{version} || '-' || content_hash", batches)

    def load(self, work: Input) -> ItemRows:
        """Transcribe and redact one item; pieces of sound are stored on the way.

        Raises BadInput for what cannot be decoded and ResidualFinding for what cannot be redacted.
        """
        with original(work.payload) as file:
            words, language = self._words(work, file)
            redacted = redact_speech(
                words, self._detector, lambda findings: self._again(file, findings)
            )
            rows = ItemRows()
            self._add_sound(work, file, redacted, rows)
        model = _SUBTITLES if work.payload["subtitles"] else self._recognizer.identity.as_json()
        for number, window in enumerate(split_speech(redacted.words)):
            text, start_s, end_s, confidence, within = window
            part = segment_row(work, f"speech-{number:04d}", "speech", span=(start_s, end_s))
            rows.texts.append(
                text_row(part, SOURCE, 0, text, model)
                | {"confidence": confidence, "language": language, "words": _timed(within)}
            )
        return rows

    def _words(self, work: Input, file: BinaryIO) -> tuple[Sequence[SpokenWord], str | None]:
        if beside := work.payload["subtitles"]:
            return read_subtitles(_read(work.payload), beside, self._settings), None
        total = work.payload["duration_s"] or 0.0
        progress = reporter(f"{self.name} {work.batch}, seconds of one file")
        heard = transcribe(
            decode_sound(file, self._settings),
            self._voice,
            self._recognizer,
            lambda done: progress(int(done), int(max(total, done))),
        )
        return heard.words, heard.language

    def _again(self, file: BinaryIO, findings: Sequence[SpokenFinding]) -> Sequence[SpokenWord]:
        """Return what is recognised around findings once these are silent."""
        return transcribe(self._around(file, findings), self._voice, self._recognizer).words

    def _around(self, file: BinaryIO, findings: Sequence[SpokenFinding]) -> Iterator[np.ndarray]:
        at = 0
        for block in decode_sound(file, self._settings):
            seconds = (at + np.arange(len(block))) / RATE
            near = np.zeros(len(block), bool)
            for finding in findings:
                near |= (seconds >= finding.start_s - _AROUND_S) & (
                    seconds <= finding.end_s + _AROUND_S
                )
            yield np.where(near, silence(block, at / RATE, findings), np.int16(0))
            at += len(block)

    def _add_sound(
        self, work: Input, file: BinaryIO, redacted: RedactedSpeech, rows: ItemRows
    ) -> None:
        settings = self._settings
        blocks = decode_sound(file, settings)
        for piece in pieces(blocks, settings.sound_piece_s, settings.sound_overlap_s):
            quiet = silence(piece.samples, piece.start_s, redacted.findings)
            name = f"sound-{piece.start_s:010.3f}"
            part = segment_row(work, name, "sound", span=(piece.start_s, piece.end_s))
            rows.segments.append(
                part | {"derivative": self.store.blobs.put(as_flac(quiet), ".flac")}
            )
            rows.media_s = piece.end_s
        if not rows.segments:
            raise BadInput("its sound has no length")
        rows.findings += [
            finding_row(rows.segments[0], SOURCE, finding.entity, finding.score)
            | {"place": json.dumps({"start_s": finding.start_s, "end_s": finding.end_s})}
            for finding in redacted.findings
        ]


def _read(item: Mapping[str, Any]) -> bytes:
    files, path = locate(item["subtitles"])
    data = files.cat_file(path)
    if digest(data) != item["subtitles_hash"]:
        raise MediadexError("its subtitles changed since they were registered; index it again")
    return data


def _timed(words: Sequence[SpokenWord]) -> str:
    """Return JSON of [text, start, end, confidence], times in seconds."""
    return json.dumps(
        [
            [
                word.text,
                round(word.start_s, 3),
                round(word.end_s, 3),
                None if word.confidence is None else round(word.confidence, 3),
            ]
            for word in words
        ],
        ensure_ascii=False,
    )


CODE = (
    TranscriptStep.load,
    TranscriptStep._words,
    TranscriptStep._again,
    TranscriptStep._around,
    TranscriptStep._add_sound,
    segment_row,
    text_row,
    _timed,
    sound,
    subtitles,
    transcribing,
    passages,
    *spoken.CODE,
)
"""The code that decides what a transcript says and what is silent, beside the models."""
