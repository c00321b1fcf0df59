"""The page in a real browser: asked, looked at, listened to, and driven by keys alone."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from page_server import NOTES, PICTURES, REGIONS, SAID_AT, encoded, page_server, picture
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
    "--hide-scrollbars",
)
FIRST, ALL = 24, len(PICTURES) + len(NOTES) + 1
_DROP = """
    const dataTransfer = new DataTransfer();
    for (const [name, type, data] of arguments) {
      const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
      dataTransfer.items.add(new File([bytes], name, { type }));
    }
    for (const event of ["dragover", "drop"])
      document.body.dispatchEvent(
        new DragEvent(event, { bubbles: true, cancelable: true, dataTransfer }));
"""


class Page:
    """What a person sees and does, over one browser."""

    def __init__(self, browser: Chrome, url: str):
        self.browser = browser
        self.url = url

    def go(self, path: str = "/") -> None:
        """Open an address of the page, and wait for its results if it asks for any."""
        self.browser.get(self.url + path)
        if "=" in path:
            self.until(self.cards)

    def all(self, selector: str) -> list[WebElement]:
        """Find elements."""
        return self.browser.find_elements("css selector", selector)

    def one(self, selector: str) -> WebElement:
        """Find the first element, waiting for it to be seen."""
        found: list[WebElement] = self.until(
            lambda: [each for each in self.all(selector) if each.is_displayed()]
        )
        return found[0]

    def cards(self) -> list[str]:
        """The titles of the results, once they are here."""
        script = """return document.querySelector("#grid[aria-busy]") ? [] :
            [...document.querySelectorAll(".card .open")].map((each) => each.textContent)"""
        return self.run(script)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script."""
        return self.browser.execute_script(script, *arguments)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for something to be true, and return it."""
        return WebDriverWait(self.browser, 15, 0.05).until(lambda _: condition())

    def drop(self, *files: tuple[str, str, bytes]) -> None:
        """Drop files on the page: their names, types and contents."""
        self.run(_DROP, *[[*names, base64.b64encode(data).decode()] for *names, data in files])

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    @property
    def asked(self) -> dict[str, list[str]]:
        """The question in the address bar."""
        return parse_qs(urlsplit(self.browser.current_url).query)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("there is no chromium with its chromedriver here")
    options = ChromeOptions()
    options.binary_location = chromium
    for option in _OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, browser: Chrome) -> Iterator[str]:
    with page_server(tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture
def page(browser: Chrome, url: str) -> Iterator[Page]:
    """The page at its start. After each test: no error was logged, no other host was asked."""
    page = Page(browser, url)
    page.resize(1440, 900)
    page.go()
    yield page
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    sent = [each["params"] for each in events if each["method"] == "Network.requestWillBeSent"]
    asked = {each["request"]["url"] for each in sent}
    assert asked, "requests were not watched"
    assert {each for each in asked if not each.startswith((url, "blob:", "data:"))} == set()


def grey(number: int) -> tuple[str, str, bytes]:
    """A file that shows a number."""
    return f"grey-{number}.png", "image/png", encoded(picture(number), "PNG")


def test_words_find_results_with_bars(page: Page) -> None:
    page.press("7", Keys.ENTER)
    cards = page.until(page.cards)
    assert cards[0] == "Photo <b>7</b>" and len(cards) == FIRST
    assert page.asked == {"q": ["7"]}
    bar = page.one(".card .bar").get_attribute("aria-label")
    parts = [float(part.rsplit(" ", 1)[1]) for part in bar.split(": ")[1].split(", ")]
    assert len(parts) == 3, "two vectors and a word match"
    shown = float(page.one(".card .score").text)
    assert sum(parts) == pytest.approx(shown, abs=2e-4)
    assert [each.text for each in page.all(".card:first-child mark")] == ["7"]
    assert {each.text for each in page.all(".legend li")} == {"Looks", "Caption", "Same words"}
    page.until(lambda: page.run("return document.querySelector('.card img.here') !== null"))
    # The best bar fills its line, the next ones are shorter in proportion to their scores.
    widths = page.run(
        """return [...document.querySelectorAll(".bar")].slice(0, 2).map((bar) =>
            [...bar.children].reduce((sum, each) => sum + parseFloat(each.style.width), 0))"""
    )
    second = float(page.all(".card .score")[1].text)
    assert widths == pytest.approx([100, 100 * second / shown], abs=0.1)


def test_a_dropped_picture_is_searched_by(page: Page) -> None:
    page.drop(("read.me", "text/plain", b"me"), grey(4))
    assert page.until(page.cards)[0] == "Photo <b>4</b>"
    assert page.one(".chip .name").text == "grey-4.png"
    assert page.one(".notice").text == "Only grey-4.png is searched by."
    assert page.run("return document.querySelector('.chip img').naturalWidth") == 320
    page.one(".chip button").click()
    page.until(lambda: page.run("return document.body.dataset.view") == "start")
    page.browser.back()
    assert page.until(page.cards)[0] == "Photo <b>4</b>", "the file is still known"
    page.browser.refresh()
    assert "gone" in page.one(".notice").text
    page.drop(grey(9))
    assert page.until(page.cards)[0] == "Photo <b>9</b>"
    page.browser.back()
    assert "gone" in page.one(".notice").text
    assert not page.all(".chip") and not page.cards(), "another file's results are not its own"


def test_an_explanation_adds_up(page: Page) -> None:
    page.go("/?q=7")
    page.all(".open")[0].click()
    page.until(lambda: page.all(".parts:not(.brief)"))
    rows = page.all(".parts tbody tr")
    parts = [float(each.text) for each in page.all(".parts tbody td:last-child")]
    total = float(page.one(".parts tfoot td:last-child").text)
    assert len(rows) == 3 and sum(parts) == pytest.approx(total, abs=1e-4)
    assert total == float(page.all(".card .score")[0].text)
    raw = [each.text for each in page.all(".parts tbody td:nth-child(2)")]
    assert float(raw[0]) == pytest.approx(1, abs=0.01), "the very vector that was asked with"
    steps = [each.text for each in page.all(".trace .step")]
    assert {"encode", "search", "fuse"} <= set(steps)
    assert "r000001" in page.one("[aria-label='The question']").text
    page.one(".replay button").click()
    said = page.until(
        lambda: [e.text for e in page.all(".replay [role=status]") if "same" in e.text]
    )
    assert said[0].startswith("The same results")
    assert "file:///photo-7" in page.until(
        lambda: next((e.text for e in page.all("[aria-label='The item'] dl")), "")
    )


def test_a_past_answer_has_an_address(page: Page) -> None:
    page.go("/?q=7&f.kind=image")
    told = "return document.querySelector('#panel .parts:not(.brief)')?.textContent"
    page.all(".open")[1].click()
    score, title = page.until(lambda: page.run(told)), page.one("#panel h2").text
    page.one("[aria-label='The question'] a").click()
    page.until(lambda: "past" in page.asked and page.run(told) == score)
    page.browser.refresh()
    page.until(lambda: page.run(told) == score)
    assert page.one("#panel h2").text == title and len(page.cards()) == len(PICTURES)
    assert page.one(".notice").text.startswith("This is how it was answered on")
    page.press(Keys.ESCAPE, "/", Keys.ENTER)
    page.until(lambda: page.asked == {"q": ["7"]} and len(page.cards()) == FIRST)


def test_results_of_the_second_page_are_judged(page: Page) -> None:
    page.go("/?q=7")
    page.one(".more").click()
    page.until(lambda: len(page.cards()) == ALL)
    pressed = "#panel button[aria-pressed=true]"
    page.all(".open")[-1].click()
    page.one("#panel button[aria-pressed]").click()
    assert page.one(pressed).text == "Good match"
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("#panel[open]"))
    page.all(".open")[-1].click()
    assert page.one(pressed).text == "Good match", "a judgement stays"


def test_a_moment_is_played_from_its_second(page: Page) -> None:
    page.go("/?q=11")
    page.one(".card:first-child .play").click()
    audio = "const audio = document.querySelector('audio'); return "
    page.until(lambda: page.run(f"{audio} !audio.paused && audio.currentTime > 13"))
    offset = SAID_AT - 28.0
    assert offset <= page.run(f"{audio} audio.currentTime") <= offset + 5
    assert page.run(f"{audio} audio.currentSrc").endswith("/sound-1#t=13.500")
    page.until(lambda: page.one("#dock .time").text.startswith("0:4"))
    page.all(".open")[0].click()
    page.one("#panel #dock [aria-label=Pause]").click()
    page.until(lambda: page.run(f"{audio} audio.paused"))
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("#panel[open]") and page.all("body > #dock:not([hidden])"))
    page.press(Keys.ESCAPE)
    assert not page.all("#dock:not([hidden])")


def test_a_facet_narrows_and_back_widens(page: Page) -> None:
    page.go("/?q=7")
    strange = REGIONS[0]
    page.run("document.querySelector(`[data-field=region][value^='o']`).click()")
    cards = page.until(lambda: [each for each in [page.cards()] if len(each) == 5])[0]
    assert set(cards) == {f"Photo <b>{number}</b>" for number in (2, 4, 6, 8, 10)}
    assert page.asked == {"q": ["7"], "f.region": [strange]}
    assert page.one(".pill").text.startswith(f"Region: {strange}")
    page.browser.back()
    page.until(lambda: len(page.cards()) == FIRST)
    page.browser.forward()
    page.until(lambda: len(page.cards()) == 5)
    page.one(".pill").click()
    page.until(lambda: len(page.cards()) == FIRST)
    both = "[data-field=region]:not([value=us])"
    page.run("for (const each of document.querySelectorAll(arguments[0])) each.click()", both)
    page.until(lambda: len(page.cards()) == len(PICTURES) + 1)
    assert set(page.asked["f.region"]) == set(REGIONS), (
        "the second waits for no answer to the first"
    )
    assert len(page.all(".pill")) == 2


def test_keys_are_enough(page: Page) -> None:
    page.go("/?q=7")
    page.press("/", "1", "1", Keys.ENTER)
    page.until(lambda: page.asked == {"q": ["11"]} and page.cards()[:1] == ["A talk"])
    page.press(Keys.ARROW_DOWN)
    focus = "return document.activeElement.textContent"
    assert page.run(focus) == "A talk"
    page.press("j", "j", "k")
    second = page.cards()[1]
    assert page.run(focus) == second
    page.press(Keys.ENTER)
    assert page.one("#panel h2").text == second
    page.press("k")
    page.until(lambda: page.one("#panel h2").text == "A talk")
    page.press("p")
    page.until(lambda: page.run("return !document.querySelector('audio').paused"))
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("#panel[open]"))
    assert page.run(focus) == "A talk"
    page.press("m")
    page.until(lambda: page.asked == {"like": ["talks/2026 #1"]} and page.cards())
    assert page.one(".chip .name").text == "Like A talk" and "A talk" not in page.cards()


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.resize(360, 740)
    wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.run(wider) == 0
    page.go("/?q=11")
    assert page.run(wider) == 0
    page.one("#facets summary").click()
    page.one(".card:first-child .play").click()
    page.one("#dock")
    assert page.run(wider) == 0
    page.press(Keys.ESCAPE)
    page.all(".open")[0].click()
    page.until(lambda: page.all("[aria-label='The item'] dl"))
    assert page.run("const panel = document.querySelector('#panel');"
                    "return [panel.clientWidth, panel.scrollWidth]") == [360, 360]  # fmt: skip
