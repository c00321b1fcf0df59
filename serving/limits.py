"""The bounds of a server: how large, how often, how many at once, how long."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Limits(BaseSettings):
    """Bounds of every request; given by `MEDIADEX_SERVE_*` variables where not explicitly."""

    model_config = SettingsConfigDict(env_prefix="MEDIADEX_SERVE_", frozen=True)

    body_bytes: int = Field(128 << 20, ge=1, description="Larger requests are refused.")
    json_bytes: int = Field(
        48 << 20, ge=1, description="So are larger ones that are no form: they are held in memory."
    )
    seconds: float = Field(30.0, gt=0, description="A request that takes longer is given up.")
    concurrent: int = Field(32, ge=1, description="Requests that are worked on at once.")
    waiting: int = Field(64, ge=0, description="Requests that come in or wait beside these.")
    wait_s: float = Field(1.0, ge=0, description="So long a request waits for its turn.")
    rate: str = Field(
        "100/second",
        description="Requests of a caller, or of an address where there are no tokens, such as "
        "600/minute; empty: any number.",
    )
    rate_storage: str = Field(
        "memory://", description="Where they are counted: here, or for all workers in redis://…"
    )
