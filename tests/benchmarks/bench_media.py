"""Speed of speech and video against the limit, with WER beside it, and the peak memory of both.

    python tests/benchmarks/bench_media.py [FOLDER] [--rounds 3] [--only speech video memory]

FOLDER holds speech/, audio/ and video/ (default: ../shared/media). Rounds are interleaved, so that
a slow moment of the machine meets both sides. Memory is measured on files that are made here, each
in a process of its own.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import jiwer
import numpy as np
from bench_index import interleaved, report

from pipelines.models.protocols import Recognizer
from pipelines.models.speech import PocketSphinxRecognizer
from pipelines.models.voice import VoiceActivity
from pipelines.privacy.pii import Detector
from pipelines.reading.ocr import TesseractReader
from pipelines.reading.video import keyframes
from pipelines.settings import Settings
from pipelines.steps.ingest import ingest
from pipelines.steps.items import ItemStep
from pipelines.steps.keyframes import KeyframeStep
from pipelines.steps.runner import plan, run
from pipelines.steps.transcribe import TranscriptStep
from pipelines.store import Store
from tests.pipelines.made_media import film, sound
from tests.spoken_clips import read_sound, spoken_clips

SHARED = Path(__file__).parents[3] / "shared" / "media"
RATE = 16_000
MINUTES = {"sound": (1, 60, 180), "film": (1, 60)}


def main() -> None:
    """Run the chosen benchmarks and print what they measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=["speech", "video", "memory"])
    parser.add_argument("--alone", nargs=2, metavar=("STEP", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(peak_of(options.alone[0], Path(options.alone[1]))))
        return
    print(f"{Settings().workers} cores, {options.rounds} interleaved rounds")
    if "speech" in options.only:
        bench_speech(options.folder, options.rounds)
    if "video" in options.only:
        bench_video(options.folder, options.rounds)
    if "memory" in options.only:
        bench_memory(options.folder)


def bench_speech(folder: Path, rounds: int) -> None:
    """Compare the step (VAD, redaction, FLAC and commits included) with PocketSphinx alone."""
    import pocketsphinx

    clips = list(spoken_clips(folder / "speech"))
    found = sorted((folder / "audio").rglob("*.*"))
    long = [read_sound(path) for path in found if path.suffix in {".flac", ".wav"}]
    sounds = [clip.samples for clip in clips] + long
    seconds = sum(map(len, sounds)) / RATE
    decoder = pocketsphinx.Decoder(loglevel="FATAL")
    heard: dict[str, list[str]] = {}
    # On a machine that others use too, the processor's time tells more than the clock.
    burnt: dict[str, list[float]] = {name: [] for name in LABELS}

    def bare() -> None:
        heard["bare"], began = [], time.process_time()
        for samples in sounds:
            decoder.reinit_feat()
            decoder.start_utt()
            decoder.process_raw(samples.tobytes(), full_utt=True)
            decoder.end_utt()
            heard["bare"].append(decoder.hyp().hypstr if decoder.hyp() else "")
        burnt["bare"].append(time.process_time() - began)

    with tempfile.TemporaryDirectory() as home:
        project = Project(Path(home), folder / "speech", folder / "audio")
        one, several = (project.transcripts(workers) for workers in (0, project.settings.workers))
        project.forget(several, several.work())
        sides: dict[str, Callable[[], Any]] = {"bare": bare}
        for name, step in (("step", several), ("one", one)):

            def indexed(name: str = name, step: "Work" = step) -> None:
                began = time.process_time()
                done = step.work()
                burnt[name].append(time.process_time() - began)
                heard[name] = project.said([clip.name for clip in clips])
                project.forget(step, done)

            sides[name] = indexed
        times = interleaved(rounds, sides)
    print(f"\n{len(sounds)} recordings, {seconds:.0f} s")
    for name, label in LABELS.items():
        wer = jiwer.wer([clip.text for clip in clips], heard[name][: len(clips)])
        report(f"x real time, {label:38}", [seconds / t for t in times[name]])
        print(f"   WER of the {len(clips)} clips {wer:.3f}")
    for name in ("step", "one"):
        pairs = zip(times["bare"], times[name], strict=True)
        report(f"speed over bare, {LABELS[name]:34}", [b / t for b, t in pairs])
    ratios = [b / t for b, t in zip(burnt["bare"], burnt["one"], strict=True)]
    report(f"processor time, bare over {LABELS['one']}", ratios)


LABELS = {
    "bare": "PocketSphinx alone, one process",
    "step": "transcripts step, a process a core",
    "one": "transcripts step, one process",
}


def bench_video(folder: Path, rounds: int) -> None:
    """Compare choosing keyframes with decoding every frame; the step with OCR stands beside it."""
    paths = sorted((folder / "video").rglob("*.mp4"))
    with tempfile.TemporaryDirectory() as home:
        project = Project(Path(home), folder / "video")
        settings = project.settings
        step = project.keyframes()
        project.forget(step, step.work())
        counts: dict[str, int] = {}

        def bare() -> None:
            counts["bare"] = sum(1 for path in paths for _ in every_nth(path, settings.keyframe_s))

        def chosen() -> None:
            counts["chosen"] = 0
            for path in paths:
                with path.open("rb") as file:
                    counts["chosen"] += sum(1 for _ in keyframes(file, settings))

        def indexed() -> None:
            done = step.work()
            counts["step"] = len(project.store.segments.rows(["key"]))
            project.forget(step, done)

        times = interleaved(rounds, {"bare": bare, "chosen": chosen, "step": indexed})
    print(f"\n{len(paths)} videos, keyframes: {counts}")
    labels = {
        "bare": "decoding every frame",
        "chosen": "keyframes()",
        "step": "keyframes step, with OCR and redaction",
    }
    for name, label in labels.items():
        report(f"keyframes/s, {label:38}", [counts[name] / t for t in times[name]])
    pairs = zip(times["bare"], times["chosen"], strict=True)
    report("keyframes() over decoding every frame              ", [b / c for b, c in pairs])


def every_nth(path: Path, every_s: float) -> Iterator[Any]:
    """Decode all frames, and make a picture of the first at or after each point of the grid."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        point = 0.0
        for frame in container.decode(stream):
            if frame.time >= point:
                point += every_s
                yield frame.to_image()


def bench_memory(folder: Path) -> None:
    """Work on short and long files, each in a process of its own, and print its peak memory."""
    spoken = spoken_minute(folder)
    with tempfile.TemporaryDirectory() as scratch:
        for kind, lengths in MINUTES.items():
            for minutes in lengths:
                path = Path(scratch, f"{kind}-{minutes}", "made")
                path.parent.mkdir()
                path.write_bytes(made(kind, minutes, spoken))
                for step in ("transcripts",) if kind == "sound" else ("transcripts", "keyframes"):
                    command = [sys.executable, __file__, "--alone", step, str(path)]
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    peak = json.loads(done.stdout)
                    print(f"peak MiB, {step:11} {minutes:3} min {kind:5} {json.dumps(peak)}")
                path.unlink()


def spoken_minute(folder: Path) -> np.ndarray:
    """Join spoken clips to one minute."""
    joined = np.concatenate([clip.samples for clip in spoken_clips(folder / "speech")] * 2)
    return joined[: 60 * RATE]


def made(kind: str, minutes: int, spoken: np.ndarray) -> bytes:
    """Make a file with one spoken minute, in which the rest is silent; films have tiny pictures."""
    samples = np.concatenate([spoken, np.zeros((minutes - 1) * 60 * RATE, np.int16)])
    if kind == "sound":
        return sound(samples)
    scenes = ["red", "green", "blue", "white", "gray", "navy"] * minutes
    return film(scenes, 10.0, samples, fps=2)


def peak_of(name: str, path: Path) -> dict[str, float]:
    """Index one file by one step; return seconds and the peak memory in MiB, workers apart."""
    with tempfile.TemporaryDirectory() as home:
        project = Project(Path(home), path.parent)
        step = project.keyframes() if name == "keyframes" else project.transcripts(1)
        before = high_water("self")
        seconds = interleaved(1, {"work": step.work})["work"][0]
        rows = len(project.store.segments.rows(["key"]))
        workers = [high_water(str(child.pid)) for child in multiprocessing.active_children()]
        return {
            "seconds": round(seconds, 1),
            "segments": rows,
            "before": before,
            "peak": high_water("self"),
            "worker": max(workers, default=0.0),
        }


def high_water(process: str) -> float:
    """Return the peak resident memory of a process in MiB."""
    status = Path("/proc", process, "status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(kib) / 1024, 1)


class Work:
    """A step, to be run over everything that is registered."""

    def __init__(self, step: ItemStep, settings: Settings):
        self.step, self._settings = step, settings

    def work(self) -> list[str]:
        """Do all that is to be done; return the items that it was done for."""
        wanted = plan(self.step)
        for batch in sorted(wanted.batches):
            report = run(self.step, batch, self._settings)
            assert not report.failures, report.failures
        return wanted.todo["item_id"].to_pylist()


class Project:
    """A home in which folders are registered."""

    def __init__(self, home: Path, *folders: Path):
        self.settings = Settings(home=home)
        self.store = Store(str(home))
        self._detector = Detector()
        for folder in folders:
            ingest(self.store, str(folder), self._detector, self.settings)

    def transcripts(self, workers: int) -> Work:
        """Return the step that transcribes, with so many processes."""
        recognizer: Recognizer = PocketSphinxRecognizer(workers=workers)
        step = TranscriptStep(
            self.store, VoiceActivity(), recognizer, self._detector, self.settings
        )
        return Work(step, self.settings)

    def keyframes(self) -> Work:
        """Return the step that makes keyframes."""
        step = KeyframeStep(self.store, TesseractReader(), self._detector, self.settings)
        return Work(step, self.settings)

    def forget(self, work: Work, items: list[str]) -> None:
        """Remove what a step made."""
        work.step.remove(items)

    def said(self, files: list[str]) -> list[str]:
        """Return what the table of texts has as the transcripts of files."""
        names = {
            origin["file_name"]: item["item_id"]
            for item in self.store.items.rows()
            for origin in item["origins"]
        }
        rows = self.store.texts.rows(where="source = 'transcript'")
        return [
            " ".join(
                word
                for row in sorted(rows, key=lambda row: row["segment"])
                if row["item_id"] == names[file]
                for word in row["text"].split()
            )
            for file in files
        ]


if __name__ == "__main__":
    main()
