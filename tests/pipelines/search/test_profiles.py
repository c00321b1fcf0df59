"""Profiles: which one a question takes, and that they change what an answer rests on."""

import pytest

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.search.asked.query import Query
from pipelines.search.fusion.profiles import BM25, PROFILES, choose, weights
from pipelines.search.fusion.scores import fuse


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
    for name in PROFILES:
        assert choose(Query(text, profile=name)) == name


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="auto, default, narrative, weighted_recency, hybrid"):
        choose(Query("x", profile="best"))


def test_profiles_weigh_channels_that_there_are() -> None:
    for profile in PROFILES:
        assert weights(profile).keys() <= {*CHANNELS, BM25}
        assert min(weights(profile).values()) > 0
    assert weights("narrative").keys() == {*CHANNELS, BM25}


def test_learned_weights_take_the_place_of_the_default_ones_only() -> None:
    learned = {"visual": 0.9, BM25: 0.7}
    assert weights("default", learned) == weights() | learned
    for profile in PROFILES.keys() - {"default"}:
        assert weights(profile, learned) == weights(profile)


def test_narrative_rests_more_on_the_story_and_less_on_single_pictures() -> None:
    film = {"film": {"visual": 0.6, "video": 0.6, "story": 0.6}}
    plain, told = (
        fuse(film, weights(name), PROFILES[name])[0] for name in ("default", "narrative")
    )
    assert told.channels["story"] > 3 * plain.channels["story"]
    assert told.channels["visual"] < plain.channels["visual"]
    assert told.score == pytest.approx(plain.score)
