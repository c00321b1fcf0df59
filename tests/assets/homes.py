"""Homes with a real Dagster instance, and what tests put into them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from PIL import Image, ImageDraw, ImageFont

from definitions import definitions
from pipelines.settings import load_settings
from pipelines.store import Store
from sensors.launch import Launcher

EMAIL = "anna.keller@harborpress.org"
SSN = "536-90-4399"
PHONE = "+49 170 5550142"
PLANTED = (EMAIL, SSN, PHONE)
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
EMPTY: Mapping[str, Any] = {}

POSTER, BADGE, SKETCH = (640, 360), (720, 300), (300, 300)
METADATA = (
    {"file_name": "badge.png", "item_id": "badge", "description": f"Ask {EMAIL}", "region": "eu"},
    {"file_name": "poster.png", "item_id": "poster", "title": "Jazz by the river"},
    {"file_name": "sketch.png", "item_id": "sketch"},
    {"file_name": "visit.md", "item_id": "visit"},
)


def draw(path: Path, size: tuple[int, int], *lines: str, fill: str = "white") -> None:
    image = Image.new("RGB", size, fill)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(34)
    for number, line in enumerate(lines):
        pen.text((30, 30 + 60 * number), line, "black", font)
    image.save(path)


class Home:
    """A home whose assets are run as the UI runs them."""

    def __init__(self, path: Path):
        self.path = path
        self.settings = load_settings(path)
        self.store = Store(self.settings.root)
        self.defs = definitions()
        self.instance = dg.DagsterInstance.get()
        self._job = self.defs.resolve_implicit_global_asset_job_def()

    @property
    def batches(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions("batches"))

    def scan(self, *sources: Path) -> dg.ExecuteInProcessResult:
        return self.run("items", config={"items": {"sources": [str(path) for path in sources]}})

    def run(
        self,
        *assets: str,
        batch: str | None = None,
        span: Sequence[str] = (),
        config: Mapping[str, Any] = EMPTY,
        strict: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """Run assets on one batch, on a span (first, last) of them, or on what has no batches."""
        return self._job.execute_in_process(
            run_config=QUIET | {"ops": {name: {"config": to} for name, to in config.items()}},
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in assets],
            partition_key=batch,
            tags=dict(zip(RANGE, span, strict=False)),
            raise_on_error=strict,
        )

    def index(self, source: Path) -> dict[str, Any]:
        """Index as the terminal does."""
        return Launcher(self.defs, self.settings).index(str(source))
