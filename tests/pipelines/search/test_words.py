"""Words: as the full-text index sees them, so that what is told to match is what matched."""

from pathlib import Path

import pytest

from pipelines.search.words import literal, matched, terms

# Words that tell the steps of the stemmer apart, stop words, accents and endings of other lengths.
TEXT = """
generalizations generous generate generically communism communities arsenal skies skis sky dying
tying news atlas bias early only singly gently agreed feed proceeded hopping hoping hope hop
running runner relational conditional rationally valency hesitancy digitizer conformably radically
differently vilely analogously vietnamization predication operator feudalism decisiveness
hopefulness callousness formality sensitivity sensibility biologist psychology triplicate formative
formalize electricity electrical hopeful goodness revival allowance inference airliner gyroscopic
adjustable defensible irritant replacement adjustment dependent adoption communion activate
homologous effective bowdlerize probate rate cease controlling rolled falling sized filing failing
happy happily cries cry say enjoyed youth boyish flying organization organ evening even paste past
adding ads eggs odd inning herring emergency emerge interference interfered later universe
kittens glasses buses knives babies shoes dresses cafés naïveté straße zürich jalapeños œuvre
the mostly again their before very 3 14 a1b2 x
"""


def test_terms_fall_together_exactly_where_the_index_finds_them(tmp_path: Path) -> None:
    import lancedb
    from lancedb.index import FTS

    words = TEXT.split()
    table = lancedb.connect(tmp_path).create_table("p", [{"text": word} for word in words])
    table.create_index("text", config=FTS())
    for word in words:
        query = table.search(word, query_type="fts").limit(len(words)).select(["text", "_score"])
        found = {row["text"] for row in query.to_list()}
        same = {other for other in words if terms(word) and terms(other) == terms(word)}
        assert found == same, word


def test_words_longer_than_the_index_keeps_are_left_out() -> None:
    assert terms("x" * 39) and not terms("x" * 40)


@pytest.mark.parametrize(
    ("query", "passage", "words"),
    [
        ("Running shoes, please", "He runs in one SHOE", ["Running", "shoes"]),
        ("cafe in Zürich", "Café Zurich", ["cafe", "Zürich"]),
        ("the and of", "the and of", []),
        ("shoe shoes", "a shoe", ["shoes"]),
        ("phone number", "call <PHONE_NUMBER> now", []),
        ("phone number", "phone: <PHONE_NUMBER>", ["phone"]),
        ("<PERSON> person", "<PERSON>", []),
        ("e-mail 3.50", "E mail for 3 or 50", ["e", "mail", "3", "50"]),
        ("", "anything", []),
        ("cat (AND) 'OR", "cat and", ["cat"]),
    ],
)
def test_matched_words_are_those_of_the_query(query: str, passage: str, words: list[str]) -> None:
    assert matched(query, passage) == words


def test_masks_are_not_asked_for() -> None:
    assert literal("call <PHONE_NUMBER>  of <PERSON> today") == "call of today"
    assert literal("<EMAIL_ADDRESS>") is None
    assert literal(None) is literal(" ") is None
    assert literal("a <b> phone number") == "a <b> phone number"
