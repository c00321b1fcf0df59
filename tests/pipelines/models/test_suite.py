import pytest

from pipelines.channels import CHANNELS
from pipelines.errors import ModelUnavailable
from pipelines.models.suite import ModelSuite
from pipelines.settings import Settings


def test_the_suite_follows_the_settings() -> None:
    chosen = ModelSuite.chosen_by(
        Settings(
            image_encoder="open_clip:x/y",
            sound_encoder="wav2vec2:z",
            channel_encoders={"story": "sentence-transformers:s"},
            recognizer="whisper:w",
            vocabulary=("Acme",),
        )
    )
    specs = {name: chosen.spec(channel) for name, channel in CHANNELS.items()}
    assert specs["video"] == specs["visual"] == "open_clip:x/y"
    assert specs["audio"] == "wav2vec2:z"
    assert specs["transcript"] == "builtin"
    assert specs["story"] == "sentence-transformers:s"
    assert (chosen.speech, chosen.vocabulary) == ("whisper:w", ("Acme",))
    assert chosen.tagger() is None
    with pytest.raises(ModelUnavailable, match="audio-classification:"):
        ModelSuite(tags="builtin").tagger()
    suite = ModelSuite()
    assert suite.recognizer(0) is ModelSuite(text="builtin").recognizer(0)
    assert suite.recognizer(0).identity != ModelSuite(vocabulary=("Acme",)).recognizer(0).identity
    assert suite.voice() is suite.voice()
