"""The models that a home's settings choose, handed out by the job they do."""

from dataclasses import dataclass

from pipelines.channels import CHANNELS, Channel
from pipelines.models import factory
from pipelines.models.protocols import Captioner, ImageEncoder, ModelChoice, TextEncoder
from pipelines.privacy.pii import Detector
from pipelines.reading.ocr import TesseractReader
from pipelines.settings import Settings


@dataclass(frozen=True)
class ModelSuite:
    """Specs of the chosen models; each is loaded when first needed and then shared."""

    text: str = "builtin"
    image: str = "builtin"
    caption: str = "builtin"
    ocr_languages: str = "eng"

    @classmethod
    def chosen_by(cls, settings: Settings) -> "ModelSuite":
        """Return the models that settings choose."""
        return cls(
            settings.text_encoder,
            settings.image_encoder,
            settings.captioner,
            settings.ocr_languages,
        )

    def encoder(self, channel: Channel) -> TextEncoder | ImageEncoder:
        """Return the encoder of a channel."""
        if channel.encoder == "image":
            return factory.image_encoder(self.image)
        return factory.text_encoder(self.text)

    def encoders(self) -> dict[str, ModelChoice]:
        """Return spec and identity of every channel's encoder."""
        return {
            name: ModelChoice(
                self.image if channel.encoder == "image" else self.text,
                self.encoder(channel).identity,
            )
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
        return Detector()
