"""Where somebody speaks: sound in, utterances short enough for a recognizer out."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipelines.errors import ModelUnavailable
from pipelines.models.protocols import RATE, Identity

FRAME = 512
CONTEXT = 64
FRAMES_AT_ONCE = 64
FILE = "silero_vad_16k_sequence.onnx"
SHA256 = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"

BEGINS, GOES_ON = 0.5, 0.35
LEAST_S = 0.2
PAUSE_S = 0.6
PAD_S = 0.3
LONGEST_S = 30.0
EARLIEST_CUT_S = 10.0
OVERLAP_S = 2.0

Span = tuple[int, int]


@dataclass(frozen=True)
class Utterance:
    """A stretch of speech: int16 (samples,) at 16 kHz, at most 30 s, and where it begins."""

    start_s: float
    samples: np.ndarray

    @property
    def end_s(self) -> float:
        """Where it ends in the recording."""
        return self.start_s + len(self.samples) / RATE


class VoiceActivity:
    """Silero VAD through onnxruntime: the probability of speech in every 32 ms.

    Speech begins at a probability of 0.5 and goes on above 0.35. Raises `ModelUnavailable`.
    """

    def __init__(self) -> None:
        import onnxruntime

        weights = _weights()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )
        self.identity = Identity(
            name="silero-vad",
            revision=version("silero-vad"),
            weights=SHA256,
            preprocessing=json.dumps(
                {
                    "rate": RATE,
                    "begins": BEGINS,
                    "goes_on": GOES_ON,
                    "least_s": LEAST_S,
                    "pause_s": PAUSE_S,
                    "pad_s": PAD_S,
                    "longest_s": LONGEST_S,
                    "earliest_cut_s": EARLIEST_CUT_S,
                    "overlap_s": OVERLAP_S,
                },
                sort_keys=True,
            ),
            dimension=0,
            dtype="float32",
        )

    def utterances(self, blocks: Iterable[np.ndarray]) -> Iterator[Utterance]:
        """Find the speech in contiguous int16 blocks (any lengths, 16 kHz), in order.

        Speech is joined across pauses under 0.6 s and padded by 0.3 s. Speech over 30 s is cut at
        its quietest pause, or, where it has none, so that two utterances overlap by 2 s. How the
        sound is split into blocks changes nothing; about a minute of it is held at most.
        """
        sound, speech, origin = np.empty(0, np.int16), np.empty(0, np.float32), 0
        for more, probabilities, last in self._listen(blocks):
            sound = np.concatenate([sound, more])
            speech = np.concatenate([speech, probabilities])
            while True:
                span, keep_from = next_span(speech, last)
                if span is not None:
                    samples = sound[span[0] * FRAME : span[1] * FRAME].copy()
                    yield Utterance((origin + span[0]) * FRAME / RATE, samples)
                sound, speech = sound[keep_from * FRAME :], speech[keep_from:]
                origin += keep_from
                if span is None:
                    break

    def _listen(
        self, blocks: Iterable[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
        """Yield pieces of sound, their probabilities of speech, and whether it is the last one.

        The pieces have the same length, whatever the blocks are, so that rounding is the same.
        """
        context = np.zeros(CONTEXT, np.float32)
        hidden = cell = np.zeros((1, 1, 128), np.float32)
        for piece, last in _pieces(blocks, FRAMES_AT_ONCE * FRAME):
            frames = np.zeros((-(-len(piece) // FRAME), FRAME), np.float32)
            frames.reshape(-1)[: len(piece)] = piece / 32768.0
            contexts = np.vstack([context, frames[:-1, -CONTEXT:]])[: len(frames)]
            probabilities = np.empty(0, np.float32)
            if len(frames):
                probabilities, hidden, cell = self._session.run(
                    ["speech_probs", "hn", "cn"],
                    {"input": np.hstack([contexts, frames]), "h": hidden, "c": cell},
                )
                context = frames[-1, -CONTEXT:]
            yield piece, probabilities, last


def _weights() -> bytes:
    # The package itself is not imported: it would limit torch to one thread.
    package = find_spec("silero_vad")
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0], "data", FILE) if folders else Path(FILE)
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise ModelUnavailable(
            f"{FILE} cannot be read: install the package silero-vad again."
        ) from error
    if hashlib.sha256(weights).hexdigest() != SHA256:
        raise ModelUnavailable(
            f"{path} is not the file that this version knows: install silero-vad 6.2."
        )
    return weights


def _pieces(blocks: Iterable[np.ndarray], length: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Cut contiguous blocks into pieces of one length; the last one may be shorter or empty."""
    rest = np.empty(0, np.int16)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // length * length
        for start in range(0, whole, length):
            yield rest[start : start + length], False
        rest = rest[whole:]
    yield rest, True


def next_span(speech: np.ndarray, last: bool) -> tuple[Span | None, int]:
    """Return the first span (in frames, padded) that is surely whole, and what to keep from there.

    Without one the span is `None`, and what comes before the frame to keep has no speech.
    """
    pad, pause, longest = _frames(PAD_S), _frames(PAUSE_S), _frames(LONGEST_S)
    for start, end, voiced in _joined_runs(speech):
        begin, stop = max(0, start - pad), min(len(speech), end + pad)
        too_long = stop - begin > longest
        closed = last or too_long or len(speech) - end >= pause
        if not closed:
            return None, begin
        # Music and clicks look like speech for a moment now and then.
        if voiced >= _frames(LEAST_S):
            if too_long:
                stop, keep_from = _cut(speech, begin, begin + longest)
                return (begin, stop), keep_from
            return (begin, stop), stop
    return None, max(0, len(speech) - pad)


def _cut(speech: np.ndarray, begin: int, limit: int) -> tuple[int, int]:
    """Choose where a span that is too long ends and where the next one begins, in frames."""
    earliest = begin + _frames(EARLIEST_CUT_S)
    smooth = np.convolve(speech[earliest:limit], np.ones(3) / 3, mode="same")[1:-1]
    quietest = int(smooth.argmin())
    if smooth[quietest] < GOES_ON:
        cut = earliest + 1 + quietest
        return cut, cut
    return limit, limit - _frames(OVERLAP_S)


def _joined_runs(speech: np.ndarray) -> list[tuple[int, int, int]]:
    """Join runs across short pauses: first and last frame (exclusive), and the longest run."""
    spans: list[tuple[int, int, int]] = []
    for start, end in _runs(speech):
        if spans and start - spans[-1][1] < _frames(PAUSE_S):
            first, _, longest = spans.pop()
            spans.append((first, end, max(longest, end - start)))
        else:
            spans.append((start, end, end - start))
    return spans


def _runs(speech: np.ndarray) -> list[Span]:
    """Find where the probability rises to `BEGINS` and until where it stays above `GOES_ON`."""
    runs: list[Span] = []
    start: int | None = None
    for frame, probability in enumerate(speech.tolist()):
        if start is None and probability >= BEGINS:
            start = frame
        elif start is not None and probability < GOES_ON:
            runs.append((start, frame))
            start = None
    return [*runs, (start, len(speech))] if start is not None else runs


def _frames(seconds: float) -> int:
    return int(seconds * RATE / FRAME)
