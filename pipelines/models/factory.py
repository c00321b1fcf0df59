"""Models from the words that name them in settings, loaded once per process."""

import threading
from functools import cache
from pathlib import Path

from pipelines.channels import Encoder
from pipelines.errors import ModelUnavailable
from pipelines.models.builtin import ConceptCaptioner, ConseImageEncoder, MiniLmTextEncoder
from pipelines.models.clips import MeanDifferenceEncoder
from pipelines.models.hub import BlipCaptioner, OpenClipEncoder, SentenceTransformerEncoder
from pipelines.models.protocols import (
    Captioner,
    ChannelEncoder,
    ClipEncoder,
    ImageEncoder,
    Recognizer,
    SoundEncoder,
    SoundTagger,
    TextEncoder,
)
from pipelines.models.sound import LogMelEncoder
from pipelines.models.sound_networks import SpectrogramTagger, Wav2Vec2Encoder
from pipelines.models.speech import PocketSphinxRecognizer, WhisperRecognizer
from pipelines.models.voice import VoiceActivity

BUILTIN = "builtin"
SENTENCES = "sentence-transformers:NAME_OR_PATH[@REVISION]"
CLIP = "open_clip:MODEL/TAG_OR_PATH"
BLIP = "blip:NAME_OR_PATH[@REVISION]"
WAV2VEC2 = "wav2vec2:NAME_OR_PATH[@REVISION]"
TAGGER = "audio-classification:NAME_OR_PATH[@REVISION]"
WHISPER = "whisper:NAME_OR_PATH"

# Steps that run in threads share a model: the second waits for the first to load it.
_LOCK = threading.RLock()


def channel_encoder(kind: Encoder, spec: str) -> ChannelEncoder:
    """Return the encoder of a channel whose encoder is of this kind. Raises `ModelUnavailable`."""
    match kind:
        case "text":
            return text_encoder(spec)
        case "image":
            return image_encoder(spec)
        case "sound":
            return sound_encoder(spec)
        case "clip":
            return clip_encoder(spec)


def kinds(spec: str) -> tuple[Encoder, ...]:
    """Return the kinds of channel that a spec stands for when no channel is named with it."""
    match spec.partition(":")[0]:
        case "builtin":
            return "text", "image", "sound", "clip"
        case "open_clip":
            return "image", "clip"
        case "wav2vec2":
            return ("sound",)
    return ("text",)


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


def clip_encoder(spec: str) -> ClipEncoder:
    """Return the clip encoder over the image encoder that `spec` names. Raises like that one."""
    with _LOCK:
        return _clips(spec)


def sound_encoder(spec: str) -> SoundEncoder:
    """Return the sound encoder that `spec` (`BUILTIN` or `WAV2VEC2`) names.

    Raises `ModelUnavailable`.
    """
    with _LOCK:
        match spec.partition(":"):
            case ("builtin", "", ""):
                return _log_mel()
            case ("wav2vec2", _, name) if name:
                return _wav2vec2(name)
    raise _unknown("sound encoder", spec, BUILTIN, WAV2VEC2)


def sound_tagger(spec: str) -> SoundTagger:
    """Return the sound tagger that `spec` (`TAGGER`) names. Raises `ModelUnavailable`."""
    with _LOCK:
        match spec.partition(":"):
            case ("audio-classification", _, name) if name:
                return _tagger(name)
    raise _unknown("sound tagger", spec, TAGGER)


def recognizer(spec: str, vocabulary: tuple[str, ...], workers: int) -> Recognizer:
    """Return the speech recognizer that `spec` (`BUILTIN` or `WHISPER`) names.

    `vocabulary` holds names and terms that it should know, `workers` is how many processes the
    built-in one may use. Raises `ModelUnavailable`.
    """
    with _LOCK:
        match spec.partition(":"):
            case ("builtin", "", ""):
                return _pocketsphinx(vocabulary, workers)
            case ("whisper", _, name) if name:
                return _whisper(name, vocabulary)
    raise _unknown("recognizer", spec, BUILTIN, WHISPER)


def voice_activity() -> VoiceActivity:
    """Return the model that finds speech in sound. Raises `ModelUnavailable`."""
    with _LOCK:
        return _voice()


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


@cache
def _clips(image_spec: str) -> MeanDifferenceEncoder:
    return MeanDifferenceEncoder(image_encoder(image_spec))


@cache
def _log_mel() -> LogMelEncoder:
    return LogMelEncoder()


@cache
def _wav2vec2(name: str) -> Wav2Vec2Encoder:
    return Wav2Vec2Encoder(*_name_and_revision(name))


@cache
def _tagger(name: str) -> SpectrogramTagger:
    return SpectrogramTagger(*_name_and_revision(name))


@cache
def _pocketsphinx(vocabulary: tuple[str, ...], workers: int) -> PocketSphinxRecognizer:
    return PocketSphinxRecognizer(vocabulary, workers)


@cache
def _whisper(name: str, vocabulary: tuple[str, ...]) -> WhisperRecognizer:
    return WhisperRecognizer(name, vocabulary)


@cache
def _voice() -> VoiceActivity:
    return VoiceActivity()


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
