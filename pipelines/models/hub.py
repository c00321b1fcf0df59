"""Models by name from a hub or from a local folder: OpenCLIP, sentence-transformers, BLIP, BLIP-2.

They load when made, never run code that comes with a checkpoint, and are named by their weights.
"""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pipelines.errors import ModelUnavailable
from pipelines.models.protocols import Identity

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

CAPTION_TOKENS = 30
_LOADING = threading.RLock()


class OpenClipEncoder:
    """A CLIP model (Radford et al. 2021) of open_clip: images and texts in one space.

    `pretrained` is one of the model's published tags or the path of a checkpoint. Raises
    `ModelUnavailable`.
    """

    def __init__(self, model_name: str, pretrained: str) -> None:
        import open_clip

        with loading(f"open_clip model {model_name} with weights {pretrained}"):
            self._device = pick_device()
            self._model, self._preprocess = open_clip.create_model_from_pretrained(
                model_name, pretrained=pretrained, device=self._device, weights_only=True
            )
            self._model.eval()
            self._tokenizer = open_clip.get_tokenizer(model_name)
            dimension = open_clip.get_model_config(model_name)["embed_dim"]
        self._lock = threading.Lock()
        self.identity = Identity(
            name=model_name,
            revision="local" if Path(pretrained).is_file() else pretrained,
            weights=weights_hash(self._model),
            preprocessing=canonical(
                {
                    "image": open_clip.get_model_preprocess_cfg(self._model),
                    "tokenizer": type(self._tokenizer).__name__,
                    "tokens": self._tokenizer.context_length,
                }
            ),
            dimension=dimension,
            dtype="float32",
        )

    def prepare(self, image: Image.Image) -> "torch.Tensor":
        """Resize, crop and normalise as the model asks: float32 (3, height, width)."""
        return self._preprocess(image)

    def encode_prepared(self, prepared: "Sequence[torch.Tensor]") -> np.ndarray:
        """Return float32 (len(prepared), dimension), rows of unit length."""
        import torch

        if not prepared:
            return self._empty()
        with torch.inference_mode():
            images = torch.stack(list(prepared)).to(self._device)
            return self._model.encode_image(images, normalize=True).float().cpu().numpy()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (len(texts), dimension), rows of unit length."""
        import torch

        if not texts:
            return self._empty()
        # Tokenizers are not safe to share between threads.
        with self._lock, torch.inference_mode():
            tokens = self._tokenizer(list(texts)).to(self._device)
            return self._model.encode_text(tokens, normalize=True).float().cpu().numpy()

    def _empty(self) -> np.ndarray:
        return np.empty((0, self.identity.dimension), np.float32)


class SentenceTransformerEncoder:
    """Any text model of sentence-transformers (Reimers and Gurevych 2019), by name or folder.

    Raises `ModelUnavailable`.
    """

    def __init__(self, name_or_path: str, revision: str | None = None) -> None:
        with loading(f"sentence-transformers model {name_or_path}"):
            self._model = load_sentence_transformer(name_or_path, revision)
        self._lock = threading.Lock()
        parts: Iterable[Any] = self._model
        modules = {
            f"{position} {type(module).__name__}": module.get_config_dict()
            for position, module in enumerate(parts)
            if hasattr(module, "get_config_dict")
        }
        self.identity = Identity(
            name=public_name(name_or_path),
            revision=commit(self._model, revision),
            weights=weights_hash(self._model),
            preprocessing=canonical({"tokens": self._model.max_seq_length, "modules": modules}),
            dimension=self._model.get_embedding_dimension() or 0,
            dtype="float32",
        )

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (len(texts), dimension), rows of unit length."""
        if not texts:
            return np.empty((0, self.identity.dimension), np.float32)
        with self._lock:
            return sentence_vectors(self._model, texts)


class BlipCaptioner:
    """Captions by BLIP (Li et al. 2022) or BLIP-2 (Li et al. 2023), decoded greedily.

    Raises `ModelUnavailable`.
    """

    def __init__(self, name_or_path: str, revision: str | None = None) -> None:
        import transformers

        architectures: dict[str, Any] = {
            "blip": transformers.BlipForConditionalGeneration,
            "blip-2": transformers.Blip2ForConditionalGeneration,
        }
        with loading(f"captioning model {name_or_path}"):
            config = transformers.AutoConfig.from_pretrained(name_or_path, revision=revision)
            if config.model_type not in architectures:
                raise ValueError(f"it is of type {config.model_type}, not blip or blip-2")
            self._processor = transformers.AutoProcessor.from_pretrained(
                name_or_path, revision=revision
            )
            self._device = pick_device()
            self._model = architectures[config.model_type].from_pretrained(
                name_or_path, revision=revision, use_safetensors=True, dtype="float32"
            )
            self._model.to(self._device).eval()
        self.identity = Identity(
            name=public_name(name_or_path),
            revision=commit(self._model, revision),
            weights=weights_hash(self._model),
            preprocessing=canonical(
                {
                    "image": self._processor.image_processor.to_dict(),
                    "decoding": f"greedy, at most {CAPTION_TOKENS} tokens",
                }
            ),
            dimension=0,
            dtype="float32",
        )

    def prepare(self, image: Image.Image) -> "torch.Tensor":
        """Resize and normalise as the model asks: float32 (3, height, width)."""
        return self._processor.image_processor(image, return_tensors="pt")["pixel_values"][0]

    def caption_prepared(self, prepared: "Sequence[torch.Tensor]") -> list[str]:
        """Return one caption per image."""
        import torch

        if not prepared:
            return []
        with torch.inference_mode():
            tokens = self._model.generate(
                pixel_values=torch.stack(list(prepared)).to(self._device),
                max_new_tokens=CAPTION_TOKENS,
                do_sample=False,
                num_beams=1,
            )
        captions = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [caption.strip() for caption in captions]


def weights_hash(module: "torch.nn.Module") -> str:
    """Return the sha256 (hex) of a model's state: names, dtypes, shapes and bytes, by name."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def pick_device() -> str:
    """Return "cuda" where there is a usable GPU, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Load without progress bars, one model at a time; any failure is a `ModelUnavailable`."""
    from transformers.utils import logging

    with _LOADING:
        bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            yield
        except ModelUnavailable:
            raise
        except Exception as error:
            raise ModelUnavailable(
                f"{what} cannot be loaded ({type(error).__name__}: {error}). Check the name; "
                "without a network, give a local path, or download the model beforehand and set "
                "HF_HUB_OFFLINE=1."
            ) from error
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()


def load_sentence_transformer(
    name_or_path: str, revision: str | None = None
) -> "SentenceTransformer":
    """Load a sentence-transformers model onto the best device, without running its code."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        name_or_path,
        revision=revision,
        device=pick_device(),
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )


def sentence_vectors(model: "SentenceTransformer", texts: Sequence[str]) -> np.ndarray:
    """Encode texts with a loaded model: float32, rows of unit length."""
    return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def public_name(name_or_path: str) -> str:
    """A folder's own name, so that an identity is the same on every machine; else the hub's."""
    path = Path(name_or_path)
    return path.resolve().name if path.exists() else name_or_path


def commit(model: "torch.nn.Module", revision: str | None) -> str:
    """Return the hub's commit that a model was loaded from, else the revision that was asked."""
    for module in model.modules():
        if found := getattr(getattr(module, "config", None), "_commit_hash", None):
            return found
    return revision or "local"


def canonical(parameters: dict[str, Any]) -> str:
    """Write parameters so that equal ones are equal texts."""
    return json.dumps(parameters, sort_keys=True, default=str)
