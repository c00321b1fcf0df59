"""Learning from clicks: what was found good teaches, nobody decides alone, and a gate decides."""

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st
from toy import MODEL, ModelChoice, item_id

from pipelines.models.suite import ModelSuite
from pipelines.outcomes import now
from pipelines.releases.publish import publish
from pipelines.releases.tuned import read_learned, write_learned
from pipelines.rights import Caller
from pipelines.search.asked.query import Query
from pipelines.search.fusion import learning
from pipelines.search.fusion.profiles import weights
from pipelines.search.journal.feedback import labels
from pipelines.search.measuring import clicked
from pipelines.search.measuring.clicked import SHARE, fair, learn_from_clicks, worth
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

ITEMS = 30
CHANNELS = ("visual", "caption")
EVERYONE = tuple(f"user-{number}" for number in range(6))


class NothingPrivate:
    """Finds one word."""

    def find(self, text: str, *_: Any) -> list[Any]:
        return []


class Home:
    """Pictures that look like the next one, and are described as what they are."""

    def __init__(self, path: Path):
        self.settings = Settings(home=path, refuse_nonsense=False)
        self.store = Store(self.settings.root)

    def ask_and_click(self, users: Sequence[str], numbers: Sequence[int], off: int = 0) -> None:
        """Have users ask for numbers in turn, and click what shows a number `off` from them."""

        async def work() -> None:
            service = SearchService(self.store, self.settings, mirror=True, journal=True)
            await service.start()
            for place, number in enumerate(numbers):
                caller = Caller(user=users[place % len(users)], region="eu")
                answer = await service.search(Query(str(number), k=ITEMS), caller=caller)
                wanted = item_id((number + off) % ITEMS)
                await service.feedback(answer["query_id"], wanted, "click", caller)
            await service.close()

        asyncio.run(work())

    def best(self, number: int) -> str:
        service = SearchService(self.store, self.settings)
        return str(asyncio.run(service.search(Query(str(number))))["results"][0]["item_id"])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home in which six people asked for each item once and clicked it."""
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        patch.setattr(learning, "FEWEST", 8)
        patch.setattr(ModelSuite, "detector", lambda suite: NothingPrivate())
        home = Home(tmp_path_factory.mktemp("clicked"))
        numbers = range(ITEMS)
        toy.catalog(home.store, numbers)
        looks = [toy.row(item_id(n), "image", (n + 1) % ITEMS) for n in numbers]
        home.store.channel("visual", MODEL).upsert(looks)
        said = [toy.row(item_id(n), "image", n) for n in numbers]
        home.store.channel("caption", MODEL).upsert(said)
        (home.settings.home / "policy.toml").write_text('gates = ["identities"]\n')
        publish(home.store, dict.fromkeys(CHANNELS, ModelChoice("toy", MODEL)), home.settings)
        home.ask_and_click(EVERYONE, numbers)
        yield home


@pytest.fixture
def home(asked: Home, tmp_path: Path) -> Home:
    """A copy of it to change."""
    shutil.copytree(asked.settings.home, tmp_path, dirs_exist_ok=True)
    return Home(tmp_path)


def test_what_was_clicked_is_found_first_once_the_next_release_serves(home: Home) -> None:
    before = weights()
    assert home.best(5) == item_id(4), "by looks, which weigh more"
    found = learn_from_clicks(home.store, home.settings)
    assert (found.judged, found.liked, found.people) == (ITEMS, ITEMS, 6)
    assert (found.set_aside, found.asked) == (0, ITEMS)
    learned = found.lesson.learned
    assert learned is not None and learned == read_learned(home.store)
    ratio = learned.weights["caption"] / max(learned.weights["visual"], 1e-9)
    assert ratio > before["caption"] / before["visual"]
    assert home.best(5) == item_id(4), "until the next release"
    publish(home.store, dict.fromkeys(CHANNELS, ModelChoice("toy", MODEL)), home.settings)
    assert home.best(5) == item_id(5)
    # Asked again by the default scales, what was learned is met by itself and is no better.
    again = learn_from_clicks(home.store, home.settings)
    assert again.lesson.learned is None
    assert "not better than what was learned" in again.lesson.reason
    assert read_learned(home.store) == learned, "the old stays"
    assert again.as_document()["clicks"]["asked"] == ITEMS


def test_what_confirms_the_defaults_teaches_nothing(home: Home) -> None:
    home.store.feedback.replace("true", [])
    home.ask_and_click(EVERYONE, range(ITEMS), off=-1)
    found = learn_from_clicks(home.store, home.settings)
    assert found.asked == ITEMS and found.lesson.learned is None
    assert "not better than the defaults" in found.lesson.reason
    assert read_learned(home.store) is None


def test_few_people_and_few_queries_teach_nothing(home: Home) -> None:
    rows = home.store.feedback.rows()
    users = sorted({row["user"] for row in rows})
    home.store.feedback.replace("true", [row for row in rows if row["user"] in users[:3]])
    found = learn_from_clicks(home.store, home.settings)
    assert found.people == 3 and found.asked == found.set_aside
    assert "3 people are too few" in found.lesson.reason
    home.store.feedback.replace("true", rows[:12])
    found = learn_from_clicks(home.store, home.settings)
    assert "are too few to learn from; 8 are needed" in found.lesson.reason
    assert found.asked <= 12
    home.store.feedback.replace("true", [])
    assert "0 and 0 queries" in learn_from_clicks(home.store, home.settings).lesson.reason
    assert read_learned(home.store) is None


def test_one_user_who_clicks_all_day_does_not_decide(home: Home) -> None:
    home.ask_and_click(["mallory"], range(ITEMS), off=-1)
    found = learn_from_clicks(home.store, home.settings)
    assert found.liked == 2 * ITEMS and found.set_aside in range(ITEMS - 12, ITEMS - 7)
    assert found.lesson.learned is not None
    ratio = found.lesson.learned.weights["caption"] / found.lesson.learned.weights["visual"]
    assert ratio > weights()["caption"] / weights()["visual"]


def test_only_what_is_still_shown_to_who_asked_is_learned_from(home: Home) -> None:
    toy.erase(home.store, item_id(7))
    row = home.store.items.rows(where=f"item_id = '{item_id(8)}'")[0]
    moved = row | {"region": "us", "updated_at": now()}
    home.store.items.replace(f"item_id = '{item_id(8)}'", [moved])
    found = learn_from_clicks(home.store, home.settings)
    assert (found.judged, found.asked) == (ITEMS - 1, ITEMS - 2)


def test_of_the_same_question_of_one_user_the_newest_opinion_counts(home: Home) -> None:
    home.ask_and_click(EVERYONE[:1], [0])
    found = labels(home.store)
    assert len(found) == ITEMS
    last = max(found, key=lambda each: each.record.at)
    assert last.grades == {item_id(0): 1} and last.ranks[item_id(0)] > 1
    assert not last.record.results and set(last.record.probes) == {*CHANNELS}


def test_a_click_counts_by_how_rarely_its_rank_is_looked_at() -> None:
    assert [worth(rank) for rank in (1, 2, 8, 10, 300)] == [1, 2, 8, 10, 10]


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=40))
def test_nobody_has_more_than_a_share(amounts: list[float]) -> None:
    given = {str(place): amount for place, amount in enumerate(amounts)}
    most = fair(given)
    taken = [min(amount, most) for amount in amounts]
    if len(amounts) < 1 / SHARE:
        assert most == 0
    else:
        assert most > 0 and max(taken) <= SHARE * sum(taken) * (1 + 1e-6)
    if max(amounts) <= SHARE * sum(amounts):
        assert most == max(amounts), "nothing is taken of those who are fair by themselves"


def test_ranks_do_not_outweigh_users(home: Home) -> None:
    found = labels(home.store)
    mine = found[0].record.user
    pairs: Any = [
        (
            replace(each, ranks=dict.fromkeys(each.ranks, 10 if each.record.user == mine else 1)),
            each,
        )
        for each in found
    ]
    counted: Any = clicked._fairly(pairs)
    of_me = [value for each, value in counted if each.record.user == mine]
    assert len(counted) == ITEMS and sum(of_me) == pytest.approx(SHARE * sum(v for _, v in counted))
    assert max(value for _, value in counted) == max(of_me) > 1


def test_what_was_learned_can_be_forgotten(home: Home) -> None:
    from typer.testing import CliRunner

    from cli import app

    where = ["--home", str(home.settings.home)]
    said = CliRunner().invoke(app, ["learn", "--from-clicks", *where]).stdout
    assert "is used from the next release on" in said
    assert read_learned(home.store) is not None
    assert "nothing new is used" in CliRunner().invoke(app, ["learn", "--forget", *where]).stdout
    assert read_learned(home.store) is None
    write_learned(home.store, None)
