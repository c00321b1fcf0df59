"""First and last names, from the lists that Faker ships, for recognising people without a model."""

import hashlib
import importlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

_LOCALES = """
    en en_US en_GB en_IN en_NZ en_IE en_PK en_NG en_KE en_TH de_DE fr_FR es_ES es_MX it_IT nl_NL
    pt_PT pt_BR sv_SE no_NO da_DK fi_FI pl_PL cs_CZ hr_HR ro_RO tr_TR id_ID vi_VN zh_CN zh_TW
"""

# Names of Malaysia and Singapore, which no list of Faker's has, and placeholders for anybody.
_FIRST = """
    abdul ahmad aishah aisyah ali aminah amirul azman fatimah farah faizal hafiz halim hassan
    ibrahim ismail jane john khairul lakshmi mahmud mohamad mohamed mohammad mohd muhammad muthu
    nor noraini norliza nur nurul rahman ramesh rosli rosnah siti suresh syed wan zainab zulkifli
"""
_LAST = """
    abdullah bloggs doe kumar nair pillai raj roe roslan samy singh
"""
_CHINESE = """
    ang aw beh bong boo chai cham chan chang chau cheah chee chen cheng cheong cheung chew chia
    chiam chin ching chong choo chow choy chua chui chung ee eng eu fong foo gan goh gong hew ho
    hong hooi hoong how hsu hui huang ip kam kang kee keong khaw kho khoo khor kim koay koh kok kong
    koo kuan kwan kwok kwong lai lam lau law lee leong leow leung liang liaw liew lim lin ling liu
    lo loh loke loo looi low lui lum mah mak mok moo neo ng ngo oh oi ong ooi ow pang phang phua poh
    poon quah quek saw seah seow siew sim sin siow soh soo soon tam tan tang tay tee teh teng teo
    teoh tham thong thum tiong tiu toh tong tsang wan wee wong woo yam yan yang yap yau yee yeo yeoh
    yeow yeung yew yik yip yong yoon you yow yuen yung zhang zhao
"""

# Names that are first of all something else on receipts, signs and labels.
_WORDS = """
    auto bar bay bear bell berry best bill bird black blue book brand bread brook brown butter
    candy card case cash cat center central chain chase cherry china chip christmas church city
    coffee cook cotton crystal curry daily dale day dean deal diamond dollar east easy english
    family farm fast field fine fish flower forest fort fox france free french fresh garden gem
    german ginger glass gold golden good grand grant gray green hall hand happy harbor hazel heart
    high hill home honey hope house hunter india iron ivory jade jasmine jean jersey joy june king
    kitchen knight lady lake lamb lane large leaf lemon light lily lime little london long love
    lucky mango maple mark market mart mary's master may melody mercy miles mill mint miss moon
    moss music new night noble north nova ocean olive orange park pearl pepper pie pine pink plum
    pocket pond pool poppy potter price prince queen rain red rice rich ring rio river robin rock
    roman rose royal ruby rush sage sales salmon sand scarlet sea service shell shop short silver
    sky small snow soda south spring star sterling stone street summer sun sunny super sweet table
    tax tea temple tiger total tower town trade turkey victory violet virginia water way west white
    wild will wine winter wood woods young
"""


# Not people, though they stand after "Cashier:" and the like.
_ROLES = """
    address admin administrator amount bill cash cashier change code copy counter customer date
    email fax guest id invoice manager member name no number order pax phone pos qty receipt root
    service sir madam staff system table tel time total trainee user walk-in walkin
"""

# What makes a business, or a place, of the names before it.
_BUSINESS = """
    airport ave avenue bakery bhd bridge cafe church co college company corp enterprise enterprises
    gmbh group hardware holdings hospital hotel inc industries international limited llc ltd market
    mart motor motors museum park rd restaurant restoran road school sdn services shop st station
    stationery store stores street trading university
"""


@dataclass(frozen=True)
class Gazetteer:
    """Folded names. `words` are the entries, and others, that are ordinary words as well.

    `chinese` holds romanised family names, which come first. `roles` and `business` are words that
    make something else of a name.
    """

    first: frozenset[str]
    last: frozenset[str]
    chinese: frozenset[str]
    words: frozenset[str]
    roles: frozenset[str]
    business: frozenset[str]

    @cached_property
    def digest(self) -> str:
        """A sha256 (hex) of all lists."""
        lists = (",".join(sorted(names)) for names in vars(self).values())
        return hashlib.sha256("\n".join(lists).encode()).hexdigest()


def fold(name: str) -> str:
    """Return a name in lower case without accents, apostrophes and dots."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    return "".join(c for c in plain if c.isalnum() or c == "-").lower()


@cache
def gazetteer() -> Gazetteer:
    """Load the names, once per process."""
    first, last, chinese = set(_FIRST.split()), set(_LAST.split()), set(_CHINESE.split())
    for locale in _LOCALES.split():
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for attribute, names in vars(provider).items():
            if callable(names) or "name" not in attribute:
                continue
            if "romanized" in attribute and attribute.startswith("last"):
                chinese.update(names)
            elif attribute.startswith("first"):
                first.update(names)
            elif "last_name" in attribute:
                last.update(names)
    lorem = importlib.import_module("faker.providers.lorem.en_US").Provider
    words = {*_WORDS.split(), *lorem.word_list, *sum(lorem.parts_of_speech.values(), ())}
    lists = (first, last, chinese, words, _ROLES.split(), _BUSINESS.split())
    return Gazetteer(*map(_folded, lists))


def _folded(names: Iterable[str]) -> frozenset[str]:
    """Fold names, leaving out initials and what is not written in Latin letters."""
    return frozenset(n for n in map(fold, names) if n.isascii() and len(n) > 1)
