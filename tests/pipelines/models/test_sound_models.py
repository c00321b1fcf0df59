import io
import json
from pathlib import Path

import numpy as np
import pytest
from checkpoints import tiny_sentences, tiny_tagger, tiny_wav2vec2
from made_media import RATE, sine, sound
from running import needs_media
from speaking import speak

from pipelines.errors import ModelUnavailable
from pipelines.models import factory
from pipelines.models.sound import LogMelEncoder
from pipelines.models.sound_networks import TAG_PROBABILITY, SpectrogramTagger, Wav2Vec2Encoder
from pipelines.reading.sound import decode_sound
from pipelines.settings import Settings

TEXT = "The committee will meet on Thursday to talk about the new bridge over the river."
ENCODER = LogMelEncoder()


def vectors(*sounds: np.ndarray) -> np.ndarray:
    return ENCODER.encode_prepared([ENCODER.prepare(each) for each in sounds])


def decoded(data: bytes) -> np.ndarray:
    return np.concatenate(list(decode_sound(io.BytesIO(data), Settings())))


def tune(seed: int, seconds: int = 5) -> np.ndarray:
    random = np.random.default_rng(seed)
    notes = [sine(0.25, 220 * 2 ** (step / 12)) for step in random.integers(0, 36, 4 * seconds)]
    fading = np.tile(np.exp(-np.arange(RATE // 4) / 1500), 4 * seconds)
    return (np.concatenate(notes) * fading).astype(np.int16)


@pytest.fixture(scope="module")
def sounds() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "american": speak(TEXT),
        "woman": speak(TEXT, "en-us+f3"),
        "german": speak("Der Ausschuss trifft sich am Donnerstag am Fluss.", "de"),
        "tune": tune(0),
        "low": sine(5, 110),
        "high": sine(5, 3000),
        "noise": (2000 * random.standard_normal(5 * RATE)).astype(np.int16),
        "steps": (20 * random.standard_normal(5 * RATE).cumsum())
        .clip(-9999, 9999)
        .astype(np.int16),
    }


def test_rows_are_the_same_alone_and_together(sounds: dict[str, np.ndarray]) -> None:
    rows = vectors(*sounds.values())
    assert rows.shape == (len(sounds), ENCODER.identity.dimension)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(rows, np.concatenate([vectors(each) for each in sounds.values()]))
    assert vectors().shape == (0, ENCODER.identity.dimension)


@pytest.mark.parametrize("codec", ["libmp3lame", "libopus", "aac"])
def test_a_copy_in_another_encoding_is_nearest(codec: str, sounds: dict[str, np.ndarray]) -> None:
    rate = 48_000 if codec == "libopus" else RATE
    copies = vectors(*(decoded(sound(x // 2, codec=codec, rate=rate)) for x in sounds.values()))
    cosines = copies @ vectors(*sounds.values()).T
    assert cosines.argmax(axis=1).tolist() == [*range(len(sounds))]
    assert cosines.diagonal().min() > 0.9


def test_unrelated_sounds_are_about_orthogonal(sounds: dict[str, np.ndarray]) -> None:
    rows = vectors(sounds["american"], *[sounds[x] for x in ("tune", "low", "high", "noise")])
    cosines = (rows @ rows.T)[~np.eye(len(rows), dtype=bool)]
    assert abs(cosines.mean()) < 0.3
    assert cosines.max() < 0.8


def test_silence_does_not_count(sounds: dict[str, np.ndarray]) -> None:
    originals = vectors(*sounds.values())
    silence = np.zeros(5 * RATE, np.int16)
    empty = vectors(silence, silence[:10], silence[:0])
    np.testing.assert_allclose(empty @ empty.T, 1)
    np.testing.assert_allclose(empty @ originals.T, 0)
    padded = vectors(*(np.concatenate([silence, x, silence]) for x in sounds.values()))
    assert (padded * originals).sum(axis=1).min() > 0.9
    halved = []
    for each in sounds.values():
        each = each.copy()
        each[RATE : 2 * RATE] = each[3 * RATE // 2 : -RATE] = 0
        halved.append(each)
    assert (vectors(*halved) @ originals.T).argmax(axis=1).tolist() == [*range(len(sounds))]


def test_real_recordings_lie_by_their_speakers() -> None:
    folder = needs_media("audio").parent
    groups = {
        "austen": sorted((folder / "speech/librivox").glob("*.wav")),
        "spk1": sorted((folder / "speech/speechbrain").glob("spk1*.wav")),
        "jfk": sorted((folder / "audio/pixeltable").glob("*.flac")),
        "silero": sorted((folder / "audio/silero").glob("*.wav")),
        "lj": sorted((folder / "speech/speechbrain").glob("LJ*.wav")),
    }
    pieces, names = [], []
    for name, paths in groups.items():
        for path in paths:
            samples = decoded(path.read_bytes())
            count = max(2, len(samples) // (10 * RATE)) if len(paths) == 1 else 1
            parts = np.array_split(samples, count)
            pieces += parts
            names += [name] * len(parts)
    rows = vectors(*pieces)
    nearest = (rows @ rows.T - 2 * np.eye(len(rows))).argmax(axis=1)
    right = [names[place] == name for place, name in zip(nearest, names, strict=True)]
    assert np.mean(right) >= 0.9


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    torch.manual_seed(0)
    return tiny_wav2vec2(tmp_path_factory.mktemp("wav2vec2"))


def test_wav2vec2_averages_its_hidden_states(wav2vec2: Path) -> None:
    import torch
    from transformers import Wav2Vec2Model

    encoder = factory.sound_encoder(f"wav2vec2:{wav2vec2}")
    assert encoder is factory.channel_encoder("sound", f"wav2vec2:{wav2vec2}")
    pieces = [tune(seed, 1)[: RATE - 100 * (seed % 3)] for seed in range(6)]
    pieces.append(np.zeros(10, np.int16))
    prepared = [encoder.prepare(piece) for piece in pieces]
    rows = encoder.encode_prepared(prepared)
    assert rows.shape == (7, 16)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    apart = np.concatenate([encoder.encode_prepared([each]) for each in prepared])
    np.testing.assert_allclose(rows, apart, atol=1e-5)
    signal = pieces[0] / 32768
    normal = torch.tensor((signal - signal.mean()) / signal.std(), dtype=torch.float32)
    with torch.no_grad():
        hidden = Wav2Vec2Model.from_pretrained(wav2vec2).eval()(normal[None]).last_hidden_state
    expected = hidden[0].mean(dim=0).numpy()
    np.testing.assert_allclose(rows[0], expected / np.linalg.norm(expected), atol=1e-3)
    assert encoder.encode_prepared([]).shape == (0, 16)


def test_wav2vec2_is_named_by_its_weights(wav2vec2: Path, tmp_path: Path) -> None:
    identity = Wav2Vec2Encoder(str(wav2vec2)).identity
    assert identity == Wav2Vec2Encoder(str(wav2vec2)).identity
    assert (identity.name, identity.revision, identity.dimension) == ("tiny-wav2vec2", "local", 16)
    assert '"do_normalize": true' in identity.preprocessing
    assert str(wav2vec2.parent) not in identity.as_json()
    other = Wav2Vec2Encoder(str(tiny_wav2vec2(tmp_path))).identity
    assert other.weights != identity.weights


@pytest.mark.parametrize(
    ("labels", "problem", "several"),
    [(8, None, False), (8, "multi_label_classification", True), (527, None, True)],
)
def test_sounds_are_named_surest_first(
    labels: int, problem: str | None, several: bool, tmp_path: Path
) -> None:
    import torch
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(1)
    folder = tiny_tagger(tmp_path, labels, problem)
    tagger = factory.sound_tagger(f"audio-classification:{folder}")
    window = 64 * RATE // 100
    pieces = [tune(0, 1), sine(1.95, 500), np.zeros(0, np.int16)]
    prepared = [tagger.prepare(piece) for piece in pieces]
    assert [len(each) for each in prepared] == [2, 3, 1]
    found = tagger.tag_prepared(prepared)
    assert found == [tagger.tag_prepared([each])[0] for each in prepared]

    model = ASTForAudioClassification.from_pretrained(folder).eval()
    extractor = ASTFeatureExtractor.from_pretrained(folder)
    windows = [piece / 32768 for piece in np.split(pieces[0], [window])]
    heard = extractor(windows, sampling_rate=RATE, return_tensors="pt")["input_values"]
    with torch.no_grad():
        logits = model(heard.float()).logits
    chances = (logits.sigmoid() if several else logits.softmax(1)).max(dim=0).values
    surest = chances.sort(descending=True)
    expected = [
        (f"sound {index}", chance)
        for chance, index in zip(surest.values.tolist(), surest.indices.tolist(), strict=True)
        if chance >= TAG_PROBABILITY
    ][:5]
    assert expected
    assert [chance for _, chance in found[0]] == pytest.approx([c for _, c in expected], abs=1e-4)
    assert dict(found[0]) == pytest.approx(dict(expected), abs=1e-4)
    assert tagger.tag_prepared([]) == []
    assert ("sigmoid" if several else "softmax") in tagger.identity.preprocessing
    assert tagger.identity.dimension == 0


def test_what_cannot_be_loaded_is_named(tmp_path: Path, wav2vec2: Path) -> None:
    absent = str(tmp_path / "absent")
    for make in (Wav2Vec2Encoder, SpectrogramTagger):
        with pytest.raises(ModelUnavailable, match="absent"):
            make(absent)
    bert = tiny_sentences(tmp_path).parent / "bert"
    with pytest.raises(ModelUnavailable, match="bert, not wav2vec2"):
        Wav2Vec2Encoder(str(bert))
    settings = wav2vec2 / "preprocessor_config.json"
    text = settings.read_text()
    try:
        settings.write_text(json.dumps({**json.loads(text), "sampling_rate": 8000}))
        with pytest.raises(ModelUnavailable, match="8000 Hz"):
            Wav2Vec2Encoder(str(wav2vec2))
    finally:
        settings.write_text(text)


def test_pickled_weights_are_not_read(wav2vec2: Path, tmp_path: Path) -> None:
    import shutil

    import torch

    copy = Path(shutil.copytree(wav2vec2, tmp_path / "pickled"))
    (copy / "model.safetensors").unlink()

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"trap": Trap()}, copy / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="safetensors"):
        Wav2Vec2Encoder(str(copy))
    assert not (tmp_path / "ran").exists()
