"""The folder of a home in which uploads lie: a source like any other, with a folder for each item.

A folder appears whole, with the metadata that governs its file, and is named by the digest of its
item's id; so nobody finds half of one, and an id is taken once.
"""

import json
import os
import posixpath
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import AwareDatetime, BaseModel

from pipelines import outcomes
from pipelines.catalog.items import IdTaken
from pipelines.catalog.metadata import groups
from pipelines.catalog.sources import Source
from pipelines.errors import BadInput, MediadexError
from pipelines.reading.media import SNIFF_BYTES, NotMedia, sniff
from pipelines.recipes import digest, digest_file
from pipelines.rights import GLOBAL, Caller
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import quoted
from pipelines.tables.lock import one_at_a_time

_FOLDER = "uploads"
_RECORD = ".upload.json"
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_BLOCK = 1 << 20
_IN_USE = "this item_id is in use; choose another, or leave it out"


class IdInUse(MediadexError):
    """An id that another item has, or that somebody else uploaded."""


class Upload(BaseModel):
    """What is on record of an upload; `said` is the digest of its metadata."""

    item_id: str
    owner: str | None
    file_name: str
    content_hash: str
    said: str
    at: AwareDatetime


def folder_of(settings: Settings) -> Path:
    """Return the folder of uploads; it need not be there."""
    return settings.home.resolve() / _FOLDER


def governed_by(caller: Caller | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as a caller may give it: they own the item, which is of their region.

    Raises BadInput for another region, and for groups that the caller is not in. Whoever has no
    region uploads for all; the operator (`None`) may say anything.
    """
    if caller is None:
        return dict(said)
    own = caller.region or GLOBAL
    region = str(said.get("region") or own)
    if region.strip().lower() != own.strip().lower():
        raise BadInput("its region is not yours; leave it out, and the item is of your region")
    if not caller.groups.issuperset(groups(said.get("access"))):
        raise BadInput("its access names a group that you are not in")
    return {**said, "region": region, "owner": caller.user}


class Uploads:
    """The uploads of one home. Several processes may add some at once."""

    def __init__(self, store: Store, settings: Settings):
        self._store = store
        self._root = folder_of(settings)

    def add(
        self, file: BinaryIO, name: str, said: Mapping[str, Any], caller: Caller | None
    ) -> Upload:
        """Keep a seekable file with what is said of it; once more the same changes nothing.

        Raises BadInput for bytes that are not indexed, for metadata that the caller may not give
        and for an id that no address can hold, and IdInUse.
        """
        if not {".", ".."}.isdisjoint(str(said.get("item_id") or "").split("/")):
            raise BadInput("its item_id has a part `.` or `..`, which addresses leave out")
        said = governed_by(caller, said)
        owner = caller.user if caller else None
        file.seek(0)
        try:
            sniff(file.read(SNIFF_BYTES), name)
        except NotMedia as error:
            raise BadInput(str(error)) from None
        content = digest_file(file)
        item_id = said.get("item_id") or digest("upload", owner or "", content)[:16]
        upload = Upload(
            item_id=item_id,
            owner=owner,
            file_name=f"media{_suffix(name)}",
            content_hash=content,
            said=digest(json.dumps({**said, "item_id": item_id}, sort_keys=True)),
            at=outcomes.now(),
        )
        made = self._written(file, upload, {**said, "item_id": item_id})
        try:
            with one_at_a_time(self._root / ".lock"):
                return self._placed(made, upload)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def get(self, item_id: str, caller: Caller | None) -> Upload | None:
        """Return an upload; `None` for one of somebody else, unless the operator asks."""
        upload = self._recorded(item_id)
        if upload is None or (caller is not None and caller.user != upload.owner):
            return None
        return upload

    def is_registered(self, upload: Upload) -> bool:
        """Tell whether the catalog knows the very bytes of an upload."""
        where = f"item_id = {quoted(upload.item_id)} AND NOT deleted"
        rows = self._store.items.rows(["content_hash", "origins", "updated_at"], where)
        uri = self._uri(upload)
        return any(
            row["content_hash"] == upload.content_hash
            and uri in [origin["uri"] for origin in row["origins"]]
            for row in rows
        )

    def refusal(self, upload: Upload) -> str | None:
        """Return why an upload is kept out, `None` while nothing speaks against it.

        Part of an item may be kept out while the rest is found, so ask for that first.
        """
        of_file = f"key = {quoted(digest(self._uri(upload)))}"
        of_item = f"item_id = {quoted(upload.item_id)} AND status <> 'skipped'"
        for row in self._store.outcomes.rows(where=f"{of_file} OR {of_item}"):
            taken = row["error"] == IdTaken.__name__
            ended = row["status"] in (*outcomes.REFUSED, "failed") and row["next_try"] is None
            if row["updated_at"] >= upload.at and (taken or ended):
                # A taken id is explained with the place of somebody else's file.
                return _IN_USE if taken else row["reason"]
        return None

    def remove(self, item_ids: Iterable[str]) -> int:
        """Remove the files of some items for good; returns of how many there were any."""
        folders = [folder for each in item_ids if (folder := self._folder(each)).exists()]
        for folder in folders:
            shutil.rmtree(folder)
        return len(folders)

    def _uri(self, upload: Upload) -> str:
        return Source(str(self._folder(upload.item_id) / upload.file_name)).url

    def _folder(self, item_id: str) -> Path:
        return self._root / digest("upload", item_id)

    def _recorded(self, item_id: str) -> Upload | None:
        try:
            text = (self._folder(item_id) / _RECORD).read_text()
        except FileNotFoundError:
            return None
        return Upload.model_validate_json(text)

    def _written(self, file: BinaryIO, upload: Upload, said: Mapping[str, Any]) -> Path:
        """Write a folder under a name that scans pass by."""
        made = self._root / f".new-{secrets.token_hex(8)}"
        made.mkdir(parents=True, mode=0o700)
        file.seek(0)
        with (made / upload.file_name).open("wb") as out:
            shutil.copyfileobj(file, out, _BLOCK)
            out.flush()
            os.fsync(out.fileno())
        row = json.dumps({**said, "file_name": upload.file_name}, ensure_ascii=False)
        (made / "metadata.jsonl").write_text(row, "utf-8")
        (made / _RECORD).write_text(upload.model_dump_json(), "utf-8")
        return made

    def _placed(self, made: Path, upload: Upload) -> Upload:
        """Put a folder in its place, where no one else's is."""
        before = self._recorded(upload.item_id)
        if before is None:
            where = f"item_id = {quoted(upload.item_id)} AND NOT deleted"
            if self._store.items.read(["item_id"], where).num_rows:
                raise IdInUse(_IN_USE)
        elif before.owner != upload.owner:
            raise IdInUse(_IN_USE)
        elif (before.content_hash, before.said) == (upload.content_hash, upload.said):
            return before
        elif before.file_name != upload.file_name:
            ending = posixpath.splitext(before.file_name)[1] or "no ending"
            raise BadInput(f"it would replace a file named with {ending}; name it so, too")
        else:
            self._folder(upload.item_id).rename(made.with_suffix(".old"))
        made.rename(self._folder(upload.item_id))
        shutil.rmtree(made.with_suffix(".old"), ignore_errors=True)
        return upload


def _suffix(name: str) -> str:
    """Return the end of a file's name, by which plain text is told; `.bin` for a strange one."""
    suffix = posixpath.splitext(name)[1].lower()
    return suffix if not suffix or _SUFFIX.fullmatch(suffix) else ".bin"
