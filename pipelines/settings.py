"""Every knob in one place: from `MEDIADEX_*` variables, then from `mediadex.toml` in the home."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

DEFAULT_HOME = ".mediadex"


class Prices(BaseModel):
    """Money for work, in any one currency; what is not given is not priced."""

    cpu_hour: float | None = None
    gpu_hour: float | None = None
    per_1000_tokens: dict[str, float] = {}


class Settings(BaseSettings):
    """Settings of one home. Sizes are in bytes or pixels as named; models are given by spec."""

    model_config = SettingsConfigDict(env_prefix="MEDIADEX_", extra="forbid")

    home: Path = Field(
        Path(DEFAULT_HOME), description="Local folder of the instance, logs, config."
    )
    storage: str = Field("", description="URI of tables and derivatives; empty: the home itself.")

    text_encoder: str = "builtin"
    image_encoder: str = "builtin"
    captioner: str = "builtin"
    ocr_languages: str = "eng"
    recognizer: str = "builtin"
    vocabulary: tuple[str, ...] = Field(
        (), description="Names and terms that speech recognition should know, such as brands."
    )
    sound_encoder: str = "builtin"
    sound_tagger: str = Field("", description="Model that names sounds; empty: none does.")
    channel_encoders: dict[str, str] = Field(
        {}, description="Encoders of single channels, where they differ from those above."
    )
    pii_entities: tuple[str, ...] = Field(
        (), description="Kinds of personal data that are masked; empty: all that are known."
    )

    batch_items: int = Field(256, ge=1, le=10_000, description="Items in a batch (a partition).")
    group_items: int = Field(
        32, ge=1, description="Rows committed together; lost at most by a kill."
    )
    encode_rows: int = Field(32, ge=1, description="Rows a model sees at once.")
    workers: int = Field(
        os.cpu_count() or 1, ge=1, description="Threads that read, decode and OCR."
    )
    gpus: int = Field(0, ge=0, description="GPUs that a model's step asks Kubernetes for.")
    index_rows: int = Field(20_000, ge=256, description="Rows from which a vector index is built.")

    retry_budget: int = Field(5, ge=1, description="Tries of a failing row before it is given up.")
    retry_delay_s: float = Field(60.0, ge=0, description="Wait before the second try; doubles.")
    prices: Prices = Field(Prices(), description="What work costs; plans are priced by it.")

    keep_releases: int = Field(10, ge=1, description="Promoted releases that stay servable.")
    keep_days: float = Field(7.0, ge=0, description="Days that unneeded versions and files stay.")
    keep_event_days: float = Field(30.0, ge=0, description="Days of Dagster's step logs kept.")
    keep_query_days: float = Field(90.0, ge=0, description="Days that queries and feedback stay.")
    ttl_days: dict[str, float] = Field(
        {}, description="Days that items of a source live, by the beginning of its URL."
    )
    snapshots: str = Field("", description="URI that nightly snapshots go to; empty: none.")
    keep_snapshot_days: float = Field(30.0, ge=0, description="Days that snapshots are kept.")

    replica: str = Field(
        "", description="URI of a copy that answers, read-only, while the storage does not."
    )
    live_keys: tuple[str, ...] = Field(
        ("price", "availability"), description="Metadata that answers take from now, not an index."
    )
    read_images: bool = Field(
        True, description="Whether text in an image that is asked with counts."
    )
    mirror_bytes: int = Field(
        2 << 30, ge=0, description="Memory in which a server may hold a release."
    )
    redis: str = Field("", description="URL of a Redis for the caches of a server; empty: memory.")
    semantic_cache: bool = Field(
        False, description="Whether a query may be answered as one that meant nearly the same was."
    )
    refuse_nonsense: bool = Field(
        True, description="Whether what nothing comes close to is answered with the reason alone."
    )
    trial_profile: str = Field(
        "", description="Profile that a share of the users gets, to be compared with the usual one."
    )
    trial_share: float = Field(0.1, ge=0, le=1, description="That share, by a hash of the user.")
    trial_candidate: float = Field(
        0.0, ge=0, le=1, description="Share of the users whom the candidate that waits answers."
    )
    recency: float = Field(0.0, ge=0, description="Weight of how new an item is in its score.")
    personal: float = Field(
        0.0, ge=0, description="Weight of what callers liked before, of those who agreed to that."
    )
    reranker: Literal["none", "lexical", "cross_encoder"] = Field(
        "none", description="What orders the best results anew."
    )
    cross_encoder: str = Field("", description="Model of that re-ranker, by name or path.")

    max_bytes: int = Field(512 << 20, description="Larger files are refused.")
    max_pixels: int = Field(80_000_000, description="Larger images are refused before decoding.")
    max_pages: int = Field(100, description="Longer documents are refused.")
    max_characters: int = Field(1_000_000, description="Longer texts are refused.")
    derivative_side: int = Field(1600, description="Longest side of a stored derivative, pixels.")

    max_stream_bytes: int = Field(16 << 30, description="Larger sound and video files are refused.")
    max_seconds: float = Field(4 * 3600.0, gt=0, description="Longer sound and video is refused.")
    sound_piece_s: float = Field(
        30.0, ge=1, le=30, description="Longest piece of sound that is stored and embedded, s."
    )
    sound_overlap_s: float = Field(
        2.0, ge=0, description="What a piece of sound shares with the next, s."
    )
    keyframe_s: float = Field(2.0, gt=0, description="From one keyframe to the next, s.")
    keyframes: Literal["interval", "adaptive"] = Field(
        "interval", description="Adaptive ones leave out what looks like the keyframe before."
    )
    keyframe_height: int = Field(720, ge=16, description="Lines of a keyframe; higher is shrunk.")

    @model_validator(mode="after")
    def _pieces_move_on(self) -> Self:
        if self.sound_overlap_s >= self.sound_piece_s:
            raise ValueError("sound_overlap_s must be less than sound_piece_s")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Explicit values first, then the environment, then the home's `mediadex.toml`."""
        home = Path(init_settings().get("home") or env_settings().get("home") or DEFAULT_HOME)
        toml = TomlConfigSettingsSource(settings_cls, home / "mediadex.toml")
        return init_settings, env_settings, toml

    @property
    def root(self) -> str:
        """URI (or absolute path) under which every table and derivative lives."""
        return self.storage.rstrip("/") or str(self.home.resolve())


def load_settings(home: Path | str | None = None) -> Settings:
    """Read the settings of a home; `None` means `$MEDIADEX_HOME`, else `.mediadex`."""
    return Settings(home=Path(home)) if home else Settings()
