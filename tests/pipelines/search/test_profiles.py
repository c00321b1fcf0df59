"""Profiles: which weights a question takes, and that they change what an answer rests on."""

import pytest

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.search.fusion import fuse
from pipelines.search.profiles import BM25, PROFILES, choose, weights
from pipelines.search.query import Query


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("a man opens the door, then sits down", "narrative"),
        ("the kitten sleeps AFTER it plays", "narrative"),
        ("first a tree, next a rabbit", "narrative"),
        ("cars stop; finally they drive on", "narrative"),
        ("a first aid kit", "default"),
        ("an orange kitten on a sofa", "default"),
        ("the authenticated thenar", "default"),
        (None, "default"),
    ],
)
def test_a_question_that_tells_an_order_is_narrative(text: str | None, profile: str) -> None:
    assert choose(Query(text)) == profile
    assert choose(Query(text, profile="default")) == "default"
    assert choose(Query(text, profile="narrative")) == "narrative"


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="auto, default, narrative"):
        choose(Query("x", profile="best"))


def test_profiles_weigh_every_channel() -> None:
    for profile in PROFILES:
        assert weights(profile).keys() == {*CHANNELS, BM25}
        assert min(weights(profile).values()) > 0


def test_narrative_rests_more_on_the_story_and_less_on_single_pictures() -> None:
    film = {"film": {"visual": 0.6, "video": 0.6, "story": 0.6}}
    plain, told = (fuse(film, weights(name))[0] for name in ("default", "narrative"))
    assert told.channels["story"] > 3 * plain.channels["story"]
    assert told.channels["visual"] < plain.channels["visual"]
    assert told.score == pytest.approx(plain.score)
