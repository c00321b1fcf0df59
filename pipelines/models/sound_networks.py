"""Networks over sound from a hub or a local folder: wav2vec 2.0 and taggers that name sounds.

Like those of `hub` they never run code that comes with a checkpoint and are named by their weights.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.models.batching import in_batches
from pipelines.models.hub import (
    canonical,
    commit,
    loading,
    pick_device,
    public_name,
    weights_hash,
)
from pipelines.models.protocols import RATE, Identity

if TYPE_CHECKING:
    import torch

AT_ONCE = 4
"""Pieces that a network sees at once; the first layer of wav2vec 2.0 needs 200 MB for 30 s."""
TAG_PROBABILITY = 0.2
"""A sound is named if it is at least this probable; `MOST_TAGS` at most."""
MOST_TAGS = 5
AUDIOSET_CLASSES = 527


_SHORTEST = RATE // 10  # silence is appended to what is shorter, for networks need some frames
_ARCHITECTURES = ("wav2vec2", "hubert", "wavlm")


class Wav2Vec2Encoder:
    """Sound by wav2vec 2.0 (Baevski et al. 2020) or a sibling of it (HuBERT, WavLM).

    The vector is the mean of the last hidden states over time. Raises `ModelUnavailable`.
    """

    def __init__(self, name_or_path: str, revision: str | None = None) -> None:
        import transformers

        self._network = _Network(name_or_path, revision, transformers.AutoModel, _ARCHITECTURES)
        self.identity = self._network.identity(
            "mean over time, L2 norm", self._network.config.hidden_size
        )

    def prepare(self, samples: np.ndarray) -> np.ndarray:
        """Normalise as the model asks: float32 (samples,)."""
        return self._network.extract(samples)

    def encode_prepared(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 (len(prepared), dimension), rows of unit length."""
        if not prepared:
            return np.empty((0, self.identity.dimension), np.float32)
        means = self._network.run(prepared, lambda out: out.last_hidden_state.mean(dim=1))
        return means / np.linalg.norm(means, axis=1, keepdims=True)


class SpectrogramTagger:
    """Names of sounds by an Audio Spectrogram Transformer (Gong et al. 2021) or the like.

    A piece is heard in windows as long as the model takes; a name's probability is the highest of
    them. Raises `ModelUnavailable`.
    """

    def __init__(self, name_or_path: str, revision: str | None = None) -> None:
        import transformers

        self._network = _Network(
            name_or_path, revision, transformers.AutoModelForAudioClassification
        )
        config = self._network.config
        self._names = [config.id2label[index] for index in range(config.num_labels)]
        # AudioSet's many labels hold at once, which its checkpoints do not tell.
        self._several = config.problem_type == "multi_label_classification" or (
            config.problem_type is None and config.num_labels == AUDIOSET_CLASSES
        )
        frames = getattr(self._network.extractor, "max_length", None) or 1000
        self._window = frames * RATE // 100
        self.identity = self._network.identity(
            f"windows of {self._window} samples; {'sigmoid' if self._several else 'softmax'}; "
            f"from {TAG_PROBABILITY}, at most {MOST_TAGS}",
            dimension=0,
        )

    def prepare(self, samples: np.ndarray) -> list[np.ndarray]:
        """Compute the model's input for each window; a last one below a tenth is left out."""
        starts = range(0, max(1, len(samples) - self._window // 10), self._window)
        return [self._network.extract(samples[start : start + self._window]) for start in starts]

    def tag_prepared(self, prepared: Sequence[list[np.ndarray]]) -> list[list[tuple[str, float]]]:
        """Return the names that are heard in each piece with probabilities, surest first."""
        if not prepared:
            return []
        windows = [window for piece in prepared for window in piece]
        found = self._network.run(windows, self._probabilities)
        ends = np.cumsum([len(piece) for piece in prepared])
        return [self._named(each.max(axis=0)) for each in np.split(found, ends[:-1])]

    def _probabilities(self, out: Any) -> "torch.Tensor":
        return out.logits.sigmoid() if self._several else out.logits.softmax(dim=1)

    def _named(self, probabilities: np.ndarray) -> list[tuple[str, float]]:
        surest = np.argsort(-probabilities, kind="stable")[:MOST_TAGS]
        return [
            (self._names[index], float(probabilities[index]))
            for index in surest
            if probabilities[index] >= TAG_PROBABILITY
        ]


class _Network:
    """A transformers model over sound with its feature extractor, loaded onto the best device."""

    def __init__(
        self, name_or_path: str, revision: str | None, kind: Any, types: Sequence[str] = ()
    ) -> None:
        import transformers

        self._name, self._revision = name_or_path, revision
        self._device = pick_device()
        with loading(f"sound model {name_or_path}"):
            self.config = transformers.AutoConfig.from_pretrained(name_or_path, revision=revision)
            if types and self.config.model_type not in types:
                raise ValueError(f"it is of type {self.config.model_type}, not {', '.join(types)}")
            self.extractor = transformers.AutoFeatureExtractor.from_pretrained(
                name_or_path, revision=revision
            )
            if self.extractor.sampling_rate != RATE:
                raise ValueError(f"it hears {self.extractor.sampling_rate} Hz, not {RATE} Hz")
            self._model = kind.from_pretrained(
                name_or_path, revision=revision, use_safetensors=True, dtype="float32"
            )
            self._model.to(self._device).eval()

    def identity(self, use: str, dimension: int) -> Identity:
        """Name the model by its weights, its feature extractor and how it is used."""
        return Identity(
            name=public_name(self._name),
            revision=commit(self._model, self._revision),
            weights=weights_hash(self._model),
            preprocessing=canonical({"sound": self.extractor.to_dict(), "use": use}),
            dimension=dimension,
            dtype="float32",
        )

    def extract(self, samples: np.ndarray) -> np.ndarray:
        """Turn int16 samples into float32 input of the model, without the batch's axis."""
        signal = samples.astype(np.float32) / 32768
        signal = np.pad(signal, (0, max(0, _SHORTEST - len(signal))))
        features = self.extractor(signal, sampling_rate=RATE, return_tensors="np")
        return features[self.extractor.model_input_names[0]][0].astype(np.float32)

    def run(
        self, inputs: Sequence[np.ndarray], reduce: Callable[[Any], "torch.Tensor"]
    ) -> np.ndarray:
        """Run inputs and return float32 (len(inputs), n) of what `reduce` makes of the outputs.

        Inputs of one shape run together and none is padded: padding would change its vector.
        """
        import torch

        def work(batch: Sequence[int]) -> np.ndarray:
            with torch.inference_mode():
                stacked = torch.from_numpy(np.stack([inputs[place] for place in batch]))
                return reduce(self._model(stacked.to(self._device))).float().cpu().numpy()

        order: list[int] = []
        rows: list[np.ndarray] = []
        for places in _by_shape(inputs):
            order += places
            rows += in_batches(work, places, AT_ONCE)
        return np.concatenate(rows)[np.argsort(order)]


def _by_shape(inputs: Sequence[np.ndarray]) -> Iterator[list[int]]:
    places: dict[tuple[int, ...], list[int]] = {}
    for place, each in enumerate(inputs):
        places.setdefault(each.shape, []).append(place)
    yield from places.values()
