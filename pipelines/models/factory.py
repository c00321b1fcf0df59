"""Models from the words that name them in settings, loaded once per process."""

import threading
from functools import cache
from pathlib import Path

from pipelines.errors import ModelUnavailable
from pipelines.models.builtin import ConceptCaptioner, ConseImageEncoder, MiniLmTextEncoder
from pipelines.models.hub import BlipCaptioner, OpenClipEncoder, SentenceTransformerEncoder
from pipelines.models.protocols import Captioner, ImageEncoder, TextEncoder

BUILTIN = "builtin"
SENTENCES = "sentence-transformers:NAME_OR_PATH[@REVISION]"
CLIP = "open_clip:MODEL/TAG_OR_PATH"
BLIP = "blip:NAME_OR_PATH[@REVISION]"

# Steps that run in threads share a model: the second waits for the first to load it.
_LOCK = threading.RLock()


def text_encoder(spec: str) -> TextEncoder:
    """Return the text encoder that `spec` (`BUILTIN`, `SENTENCES` or `CLIP`) names.

    Raises `ModelUnavailable`.
    """
    with _LOCK:
        match spec.partition(":"):
            case ("builtin", "", ""):
                return _minilm()
            case ("sentence-transformers", _, name) if name:
                return _sentences(name)
            case ("open_clip", _, name) if all(_model_and_weights(name)):
                return _clip(name)
    raise _unknown("text encoder", spec, BUILTIN, SENTENCES, CLIP)


def image_encoder(spec: str) -> ImageEncoder:
    """Return the image encoder that `spec` (`BUILTIN` or `CLIP`) names, with its text side.

    The built-in one works in the built-in text encoder's space. Raises `ModelUnavailable`.
    """
    with _LOCK:
        match spec.partition(":"):
            case ("builtin", "", ""):
                return _conse()
            case ("open_clip", _, name) if all(_model_and_weights(name)):
                return _clip(name)
    raise _unknown("image encoder", spec, BUILTIN, CLIP)


def captioner(spec: str) -> Captioner:
    """Return the captioner that `spec` (`BUILTIN` or `BLIP`) names. Raises `ModelUnavailable`."""
    with _LOCK:
        match spec.partition(":"):
            case ("builtin", "", ""):
                return _concepts()
            case ("blip", _, name) if name:
                return _blip(name)
    raise _unknown("captioner", spec, BUILTIN, BLIP)


@cache
def _minilm() -> MiniLmTextEncoder:
    return MiniLmTextEncoder()


@cache
def _conse() -> ConseImageEncoder:
    return ConseImageEncoder(_minilm())


@cache
def _concepts() -> ConceptCaptioner:
    return ConceptCaptioner(_conse())


@cache
def _sentences(name: str) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder(*_name_and_revision(name))


@cache
def _clip(name: str) -> OpenClipEncoder:
    return OpenClipEncoder(*_model_and_weights(name))


@cache
def _blip(name: str) -> BlipCaptioner:
    return BlipCaptioner(*_name_and_revision(name))


def _name_and_revision(name: str) -> tuple[str, str | None]:
    if Path(name).exists() or "@" not in name:
        return name, None
    name, _, revision = name.rpartition("@")
    return name, revision


def _model_and_weights(name: str) -> tuple[str, str]:
    model, _, weights = name.partition("/")
    return model, weights


def _unknown(kind: str, spec: str, *allowed: str) -> ModelUnavailable:
    return ModelUnavailable(f"{spec!r} names no {kind}: write {' or '.join(allowed)}")
