"""Speech to words: PocketSphinx, whose model comes with its package, and Whisper."""

import hashlib
import json
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import ModelUnavailable
from pipelines.models.hub import loading, pick_device, weights_hash
from pipelines.models.pronouncing import pronunciations
from pipelines.models.protocols import RATE, Heard, Identity, SpokenWord

_FRAMES_A_SECOND = 100
# How much likelier a term of the vocabulary is than if all words were equally likely; many terms
# share `BOOSTS`, so that they cannot crowd out the language.
BOOST, BOOSTS = 300.0, 30_000.0

ACOUSTICS, DICTIONARY, LANGUAGE = "en-us", "cmudict-en-us.dict", "en-us.lm.bin"
_ACOUSTIC_FILES = (
    "feat.params", "mdef", "means", "noisedict", "sendump", "transition_matrices", "variances",
)  # fmt: skip
MODEL_FILES = (DICTIONARY, LANGUAGE, *(f"{ACOUSTICS}/{name}" for name in _ACOUSTIC_FILES))

Terms = tuple[str, ...]

_DECODING, _POOLING = threading.Lock(), threading.Lock()
_pools: dict[int, ProcessPoolExecutor] = {}


class PocketSphinxRecognizer:
    """English by PocketSphinx (Huggins-Daines et al. 2006) with the model of its package.

    It decodes in `workers` processes, which all threads and recognizers of this process share, or,
    with 0, in this process, one utterance at a time. Terms of `vocabulary` (names, phrases) enter
    its dictionary and language model and come out as written there. Raises `ModelUnavailable`.
    """

    def __init__(self, vocabulary: Sequence[str] = (), workers: int = 0) -> None:
        self._terms, self._workers = _in_order(vocabulary), workers
        parameters = {"terms": self._terms, "boost": BOOST, "boosts": BOOSTS}
        self.identity = Identity(
            name="pocketsphinx",
            revision=version("pocketsphinx"),
            weights=_weights(),
            preprocessing=json.dumps(parameters, sort_keys=True),
            dimension=0,
            dtype="float32",
        )

    def recognise(self, utterances: Sequence[np.ndarray]) -> list[Heard]:
        """Recognise utterances, each int16 (samples,) at 16 kHz mono and at most 30 s long.

        Confidences are posterior probabilities in the lattice of words.
        """
        if not self._workers:
            with _DECODING:
                decoder = _decoder(self._terms)
                return [decoder.hear(samples) for samples in utterances]
        pool, hear = _pool(self._workers), partial(_hear_in_worker, self._terms)
        try:
            return list(pool.map(hear, utterances))
        except BrokenProcessPool:
            # A worker was killed, perhaps for memory: others get one more chance.
            return list(_pool(self._workers, broken=pool).map(hear, utterances))


class WhisperRecognizer:
    """Whisper (Radford et al. 2022) by openai-whisper: a name or the path of a checkpoint file.

    It decodes greedily at temperature 0 and times words by the attention; `vocabulary` is told to
    it as a prompt. Multilingual models detect the language. Raises `ModelUnavailable`.
    """

    def __init__(self, name_or_path: str, vocabulary: Sequence[str] = ()) -> None:
        import whisper

        with loading(f"Whisper model {name_or_path}"):
            self._model = whisper.load_model(name_or_path, device=pick_device()).eval()
        self._options: dict[str, Any] = {
            "temperature": 0.0,
            "condition_on_previous_text": False,
            "word_timestamps": True,
            "initial_prompt": ", ".join(_in_order(vocabulary)) or None,
            "fp16": self._model.device.type == "cuda",
        }
        self._lock = threading.Lock()
        self.identity = Identity(
            name=Path(name_or_path).stem if Path(name_or_path).is_file() else name_or_path,
            revision=version("openai-whisper"),
            weights=weights_hash(self._model),
            preprocessing=json.dumps(self._options, sort_keys=True),
            dimension=0,
            dtype="float16" if self._options["fp16"] else "float32",
        )

    def recognise(self, utterances: Sequence[np.ndarray]) -> list[Heard]:
        """Recognise utterances, each int16 (samples,) at 16 kHz mono and at most 30 s long.

        Confidences are the mean probabilities of a word's tokens.
        """
        return [self._hear(samples) for samples in utterances]

    def _hear(self, samples: np.ndarray) -> Heard:
        import whisper

        if not len(samples):
            return Heard(())
        # Decoding hangs hooks on the model, so it serves one thread at a time.
        with self._lock:
            result = whisper.transcribe(
                self._model, samples.astype(np.float32) / 32768.0, **self._options
            )
        ends = len(samples) / RATE
        words = tuple(
            SpokenWord(
                text=word["word"].strip(),
                start_s=min(float(word["start"]), ends),
                end_s=min(float(word["end"]), ends),
                confidence=float(word["probability"]),
            )
            for segment in result["segments"]
            for word in segment["words"]
            if word["word"].strip()
        )
        return Heard(words, result["language"])


class _Decoder:
    """A loaded PocketSphinx; serves one thread at a time."""

    def __init__(self, terms: Terms) -> None:
        import pocketsphinx

        folder = _model_folder()
        self._decoder = pocketsphinx.Decoder(
            hmm=str(folder / ACOUSTICS),
            dict=str(folder / DICTIONARY),
            lm=None,
            loglevel="FATAL",
        )
        language = pocketsphinx.NGramModel(
            self._decoder.config, self._decoder.logmath, str(folder / LANGUAGE)
        )
        self._terms: dict[str, str] = {}
        for position, term in enumerate(terms):
            # A key of its own: adding a word that the language model has would break the model.
            key = f"term_{position}"
            for variant, phones in enumerate(pronunciations(term, self._decoder.lookup_word)):
                if variant == 0:
                    language.add_word(key, min(BOOST, BOOSTS / len(terms)))
                self._decoder.add_word(f"{key}({variant + 1})" if variant else key, phones, False)
            self._terms[key] = term
        self._decoder.add_lm("language", language)
        self._decoder.activate_search("language")

    def hear(self, samples: np.ndarray) -> Heard:
        """Decode one utterance; what was decoded before has no influence."""
        if not len(samples):
            return Heard(())
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(samples.tobytes(), full_utt=True)
        finally:
            self._decoder.end_utt()
        return Heard(tuple(self._words(len(samples) / RATE)), "en")

    def _words(self, ends: float) -> Iterator[SpokenWord]:
        for segment in self._decoder.seg() or ():
            if segment.word.startswith(("<", "[", "+")):
                continue
            word = re.sub(r"\(\d+\)$", "", segment.word)
            yield SpokenWord(
                text=self._terms.get(word, word),
                start_s=min(segment.start_frame / _FRAMES_A_SECOND, ends),
                end_s=min((segment.end_frame + 1) / _FRAMES_A_SECOND, ends),
                confidence=min(1.0, max(0.0, segment.prob)),
            )


@cache
def _decoder(terms: Terms) -> _Decoder:
    return _Decoder(terms)


def _pool(workers: int, broken: ProcessPoolExecutor | None = None) -> ProcessPoolExecutor:
    """Return the pool that this process shares, made anew if the last one is `broken`."""
    with _POOLING:
        pool = _pools.get(workers)
        if pool is None or pool is broken:
            pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker)
            _pools[workers] = pool
        return pool


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for work forever, also after its parent was killed, unless it looks."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _hear_in_worker(terms: Terms, samples: np.ndarray) -> Heard:
    return _decoder(terms).hear(samples)


def _in_order(vocabulary: Sequence[str]) -> Terms:
    return tuple(sorted({" ".join(term.split()) for term in vocabulary} - {""}))


def _model_folder() -> Path:
    package = find_spec("pocketsphinx")
    if not package or not package.submodule_search_locations:
        raise ModelUnavailable("PocketSphinx is not installed: install the package pocketsphinx.")
    return Path(package.submodule_search_locations[0], "model", "en-us")


@cache
def _weights() -> str:
    folder = _model_folder()
    digest = hashlib.sha256()
    for name in MODEL_FILES:
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise ModelUnavailable(
                f"PocketSphinx's model lacks {name}: install the package pocketsphinx again."
            ) from error
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()
