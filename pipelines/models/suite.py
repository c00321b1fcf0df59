"""The models that a home's settings choose, handed out by the job they do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipelines.channels import CHANNELS, Channel, Encoder
from pipelines.errors import MediadexError
from pipelines.models import factory
from pipelines.models.protocols import (
    Captioner,
    ChannelEncoder,
    ModelChoice,
    Recognizer,
    SoundTagger,
)
from pipelines.models.voice import VoiceActivity
from pipelines.privacy.pii import ENTITIES, Detector
from pipelines.reading.ocr import TesseractReader
from pipelines.settings import Settings


@dataclass(frozen=True)
class ModelSuite:
    """Specs of the chosen models; each is loaded when first needed and then shared.

    `channels` names encoders of single channels, where they differ from `text`, `image` and
    `sound`; without `entities` all known kinds of personal data are masked; without `tags` no sound
    is named.
    """

    text: str = "builtin"
    image: str = "builtin"
    caption: str = "builtin"
    ocr_languages: str = "eng"
    channels: Mapping[str, str] = field(default_factory=dict)
    entities: tuple[str, ...] = ()
    speech: str = "builtin"
    vocabulary: tuple[str, ...] = ()
    sound: str = "builtin"
    tags: str = ""

    def __post_init__(self) -> None:
        if unknown := sorted(self.channels.keys() - CHANNELS.keys()):
            raise MediadexError(
                f"channel_encoders names {', '.join(unknown)}; there are {', '.join(CHANNELS)}"
            )
        if unknown := sorted(set(self.entities) - set(ENTITIES)):
            raise MediadexError(
                f"pii_entities names {', '.join(unknown)}; there are {', '.join(ENTITIES)}"
            )

    @classmethod
    def chosen_by(cls, settings: Settings) -> "ModelSuite":
        """Return the models that settings choose."""
        return cls(
            settings.text_encoder,
            settings.image_encoder,
            settings.captioner,
            settings.ocr_languages,
            settings.channel_encoders,
            settings.pii_entities,
            settings.recognizer,
            settings.vocabulary,
            settings.sound_encoder,
            settings.sound_tagger,
        )

    def with_encoders(self, specs: Mapping[str, str]) -> "ModelSuite":
        """Return the same models with other encoders for some channels."""
        return replace(self, channels={**self.channels, **specs})

    def spec(self, channel: Channel) -> str:
        """Return the spec of a channel's encoder; one of clips is built over the image encoder."""
        specs: dict[Encoder, str] = {
            "text": self.text,
            "image": self.image,
            "sound": self.sound,
            "clip": self.image,
        }
        return self.channels.get(channel.name, specs[channel.encoder])

    def encoder(self, channel: Channel) -> ChannelEncoder:
        """Return the encoder of a channel."""
        return factory.channel_encoder(channel.encoder, self.spec(channel))

    def encoders(self) -> dict[str, ModelChoice]:
        """Return spec and identity of every channel's encoder."""
        return {
            name: ModelChoice(self.spec(channel), self.encoder(channel).identity)
            for name, channel in CHANNELS.items()
        }

    def captioner(self) -> Captioner:
        """Return the caption model."""
        return factory.captioner(self.caption)

    def recognizer(self, workers: int) -> Recognizer:
        """Return the speech recognizer; the built-in one may use that many processes."""
        return factory.recognizer(self.speech, self.vocabulary, workers)

    def voice(self) -> VoiceActivity:
        """Return the model that finds speech in sound."""
        return factory.voice_activity()

    def tagger(self) -> SoundTagger | None:
        """Return the model that names sounds, if one is chosen."""
        return factory.sound_tagger(self.tags) if self.tags else None

    def reader(self) -> TesseractReader:
        """Return the OCR engine."""
        return TesseractReader(self.ocr_languages)

    def detector(self) -> Detector:
        """Return the detector of personal data."""
        return Detector(self.entities or ENTITIES)
