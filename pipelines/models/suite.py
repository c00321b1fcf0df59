"""The models that a home's settings choose, handed out by the job they do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipelines.channels import CHANNELS, Channel
from pipelines.errors import MediadexError
from pipelines.models import factory
from pipelines.models.protocols import Captioner, ImageEncoder, ModelChoice, TextEncoder
from pipelines.privacy.pii import ENTITIES, Detector
from pipelines.reading.ocr import TesseractReader
from pipelines.settings import Settings


@dataclass(frozen=True)
class ModelSuite:
    """Specs of the chosen models; each is loaded when first needed and then shared.

    `channels` names encoders of single channels, where they differ from `text` and `image`;
    without `entities` all known kinds of personal data are masked.
    """

    text: str = "builtin"
    image: str = "builtin"
    caption: str = "builtin"
    ocr_languages: str = "eng"
    channels: Mapping[str, str] = field(default_factory=dict)
    entities: tuple[str, ...] = ()

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
        )

    def with_encoders(self, specs: Mapping[str, str]) -> "ModelSuite":
        """Return the same models with other encoders for some channels."""
        return replace(self, channels={**self.channels, **specs})

    def spec(self, channel: Channel) -> str:
        """Return the spec of a channel's encoder."""
        return self.channels.get(
            channel.name, self.image if channel.encoder == "image" else self.text
        )

    def encoder(self, channel: Channel) -> TextEncoder | ImageEncoder:
        """Return the encoder of a channel."""
        if channel.encoder == "image":
            return factory.image_encoder(self.spec(channel))
        return factory.text_encoder(self.spec(channel))

    def encoders(self) -> dict[str, ModelChoice]:
        """Return spec and identity of every channel's encoder."""
        return {
            name: ModelChoice(self.spec(channel), self.encoder(channel).identity)
            for name, channel in CHANNELS.items()
        }

    def captioner(self) -> Captioner:
        """Return the caption model."""
        return factory.captioner(self.caption)

    def reader(self) -> TesseractReader:
        """Return the OCR engine."""
        return TesseractReader(self.ocr_languages)

    def detector(self) -> Detector:
        """Return the detector of personal data."""
        return Detector(self.entities or ENTITIES)
