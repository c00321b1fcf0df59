"""Speech is heard the same everywhere, with the names that are told, and no process is left."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checkpoints import tiny_whisper
from running import ROOT, needs_media
from speaking import speak
from spoken_clips import spoken_clips
from waiting import wait_until

from pipelines.errors import ModelUnavailable
from pipelines.models import speech
from pipelines.models.pronouncing import pronunciations
from pipelines.models.protocols import Heard
from pipelines.models.speech import PocketSphinxRecognizer, WhisperRecognizer

SAID = "the president of the united states"
CLEAR_VOICE = "en-us+f2"
PARENT = """
import sys, time
import numpy as np
from pipelines.models.speech import PocketSphinxRecognizer, _pools
if __name__ == "__main__":
    PocketSphinxRecognizer(workers=1).recognise([np.ones(1600, np.int16)])
    print(*_pools[1]._processes, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return speak(SAID, CLEAR_VOICE, 120)


def text(heard: Heard) -> str:
    return " ".join(word.text for word in heard.words)


def test_words_are_recognised_with_their_times(sound: np.ndarray) -> None:
    [heard] = PocketSphinxRecognizer().recognise([sound])

    assert text(heard) == SAID
    assert heard.language == "en"
    starts = [word.start_s for word in heard.words]
    assert starts == sorted(starts)
    for word in heard.words:
        assert 0 <= word.start_s < word.end_s <= len(sound) / 16_000
        assert word.confidence is not None and 0 <= word.confidence <= 1
        assert not set("<[+(") & set(word.text)


def test_nothing_is_heard_in_nothing(sound: np.ndarray) -> None:
    recognizer = PocketSphinxRecognizer()

    assert recognizer.recognise([]) == []
    empty, short = recognizer.recognise([sound[:0], sound[:10]])
    assert empty.words == short.words == ()


@pytest.mark.slow
def test_threads_and_processes_hear_the_same(sound: np.ndarray) -> None:
    utterances = [sound, sound[8000:], sound[:20_000]]
    expected = PocketSphinxRecognizer().recognise(utterances)

    assert PocketSphinxRecognizer().recognise(utterances[::-1]) == expected[::-1]
    with ThreadPoolExecutor(3) as threads:
        recognizers = [PocketSphinxRecognizer(workers=workers) for workers in (0, 2, 2)]
        heard = list(threads.map(lambda one: one.recognise(utterances), recognizers))
    assert heard == [expected] * 3
    assert list(speech._pools) == [2]

    for worker in speech._pools[2]._processes.values():
        worker.kill()
    assert recognizers[1].recognise(utterances) == expected


@pytest.mark.slow
def test_workers_end_with_a_killed_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    worker = int(parent.stdout.readline())
    assert Path(f"/proc/{worker}").exists()

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    wait_until(lambda: not Path(f"/proc/{worker}").exists())


def test_a_name_is_recognised_once_the_vocabulary_has_it() -> None:
    clips = {clip.name: clip for clip in spoken_clips(needs_media("speech"))}
    clip = clips["librivox/sense_and_sensibility_01_austen_64kb-0870.wav"].samples[: 2 * 16_000]

    [without] = PocketSphinxRecognizer().recognise([clip])
    [told] = PocketSphinxRecognizer(["Dashwood", "New  Balance", "東京"]).recognise([clip])

    assert "dashwood" not in text(without).lower()
    assert "Dashwood" in text(told)


def test_a_name_that_no_dictionary_has_is_recognised() -> None:
    said = speak("mediadex information technology", CLEAR_VOICE, 120)

    [without] = PocketSphinxRecognizer().recognise([said])
    [told] = PocketSphinxRecognizer(["Mediadex", "Zalando"]).recognise([said])

    assert "mediadex" not in text(without).lower()
    assert text(told).startswith("Mediadex information")


def test_an_unspoken_vocabulary_changes_no_word(sound: np.ndarray) -> None:
    terms = ["Mediadex", "Zalando", "New Balance", "Birkenstock", "Patagonia", "Levi's", "3M"]

    [heard] = PocketSphinxRecognizer(terms).recognise([sound])

    assert text(heard) == SAID


def test_the_vocabulary_is_part_of_the_identity() -> None:
    plain, told = PocketSphinxRecognizer().identity, PocketSphinxRecognizer(["b", "a"]).identity

    assert told != plain
    assert told == PocketSphinxRecognizer(["a", "b ", "a"], workers=2).identity
    assert replace(told, preprocessing=plain.preprocessing) == plain


def test_unknown_names_are_read_as_they_are_spelled() -> None:
    known = {"media": "M IY D IY AH", "dex": "D EH K S", "b": "B IY", "d": "D IY", "m": "EH M"}
    known |= {"three": "TH R IY"}

    assert pronunciations("Mediadex", known.get)[0] == "M IY D IY AH D EH K S"
    assert "Z AA L AA N D OW" in pronunciations("Zalando", known.get)
    assert pronunciations("3M", known.get) == ["TH R IY EH M"]
    assert pronunciations("MediaDB", known.get) == ["M IY D IY AH D IY B IY"]
    assert pronunciations("bake", known.get)[0] == "B EY K"
    assert pronunciations("Café", known.get) == pronunciations("cafe", known.get)
    assert pronunciations("東京", known.get) == []


@pytest.fixture
def whisper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WhisperRecognizer:
    from whisper import timing

    # Compiling them takes longer than running them on so little.
    monkeypatch.setattr(timing, "dtw_cpu", timing.dtw_cpu.py_func)
    monkeypatch.setattr(timing, "backtrace", timing.backtrace.py_func)
    return WhisperRecognizer(str(tiny_whisper(tmp_path)), ["Zalando"])


def test_whisper_hears_the_same_in_every_thread(
    whisper: WhisperRecognizer, sound: np.ndarray
) -> None:
    piece = (3000 * np.random.default_rng(0).standard_normal(16_000)).astype(np.int16)
    expected = whisper.recognise([piece])

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(whisper.recognise, [[piece]] * 2)) == [expected] * 2
    assert expected[0].words
    assert expected[0].language and len(expected[0].language) <= 3
    for word in expected[0].words:
        assert word.text == word.text.strip() != ""
        assert 0 <= word.start_s <= word.end_s <= 1.0
        assert word.confidence is not None and 0 <= word.confidence <= 1
    assert whisper.recognise([sound[:0]]) == [Heard(())]


def test_whispers_identity_is_its_weights_and_vocabulary(
    whisper: WhisperRecognizer, tmp_path: Path
) -> None:
    path = tmp_path / "tiny-whisper.pt"
    plain = WhisperRecognizer(str(path)).identity

    assert whisper.identity.name == plain.name == "tiny-whisper"
    assert whisper.identity.weights == plain.weights
    assert whisper.identity != plain
    assert WhisperRecognizer(str(path), ["Zalando"]).identity == whisper.identity


def test_a_checkpoint_that_is_code_is_not_run(tmp_path: Path) -> None:
    import torch

    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"dims": Code(), "model_state_dict": {}}, tmp_path / "code.pt")

    with pytest.raises(ModelUnavailable, match=r"code\.pt"):
        WhisperRecognizer(str(tmp_path / "code.pt"))
    assert not (tmp_path / "ran").exists()


def test_an_unknown_whisper_names_the_way_out() -> None:
    with pytest.raises(ModelUnavailable, match="give a local path"):
        WhisperRecognizer("no-such-model")
