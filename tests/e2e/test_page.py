"""The page at ``/`` in a real browser: it shows what is, it acts by mouse and by keyboard, it comes back by itself."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest

from reconciler_service.app import ReconcilerApp
from reconciler_service.settings import ReconcilerSettings
from tests.conftest import StartPosition
from tests.e2e.browser import DESKTOP, PHONE, Browser, Tab
from tests.e2e.processes import Up, at_venue, running_in, scratch, wait_until

MARKUP = '<img src=x onerror="window.wasRun = 1"><b>bold</b>'
NEVER_S = "86400"  # the story is not told: what happens at the venue is what a test does


class Stage(Up):
    """``trueup up`` with a book and a venue that agree until a test says otherwise."""

    def ready(self) -> None:
        self.wait_for("reconciled: ")
        line = self.wait_for("SIMULATED Hyperliquid at ")[1]
        self.venue = re.search(r"http://[0-9.:]+", line)[0]
        self.page = f"http://{self.http}/"

    def ask(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.page + path, data, headers, method=verb)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    def held(self, symbol: str) -> dict[str, Any]:
        (found,) = self.ask("GET", f"v1/positions?symbol={symbol}")["positions"]
        return dict(found)

    def open_drifts(self) -> set[str]:
        return {drift["symbol"] for drift in self.ask("GET", "v1/drifts")["drifts"]}

    def kill(self, module: str) -> None:
        (victim,) = (pid for pid, command in running_in(self.folder).items() if command.endswith(f"-m {module} "))
        os.kill(victim, signal.SIGKILL)


@pytest.fixture(scope="module")
def stage(browser: Browser) -> Iterator[Stage]:
    with scratch() as folder, Stage(folder, "--spacing", NEVER_S) as running:
        running.ready()
        yield running


LIVE = "document.body.dataset.connection === 'live'"


async def opened(tab: Tab, url: str) -> Tab:
    await tab.open(url)
    await tab.until(LIVE, "the page to be live")
    return tab


def card(symbol: str) -> str:
    """A JavaScript expression: the open case of an instrument."""
    return f"[...document.querySelectorAll('.case')].find(one => one.querySelector('h3').innerText.startsWith('{symbol} '))"


async def appears(tab: Tab, symbol: str) -> str:
    return str(await tab.until(f"({card(symbol)})?.innerText", f"a drift of {symbol}"))


async def vanishes(tab: Tab, symbol: str) -> None:
    await tab.until(f"!({card(symbol)})", f"the drift of {symbol} to go")


async def press_in_card(tab: Tab, symbol: str, button: str) -> None:
    """Click a button of a case by mouse."""
    found = f"[...({card(symbol)}).querySelectorAll('button')].find(one => one.innerText === '{button}')"
    await tab.until(f"({found}).id = 'wanted-{symbol}'", button)
    await tab.click(f"#wanted-{symbol}")
    await tab.value(f"document.getElementById('wanted-{symbol}')?.removeAttribute('id')")


def assert_clean(tab: Tab, url: str) -> None:
    """Nothing red in the console, nothing asked of anybody else."""
    assert tab.problems == []
    assert [each for each in tab.requests if not each.startswith(url)] == []


# -- what it shows -------------------------------------------------------------------------------


async def test_shows_book_venues_and_that_it_is_simulated(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        await tab.until("document.querySelectorAll('#position-table tbody tr').length === 6", "the whole book")
        assert "SIMULATED" in await tab.text("#source")
        assert "SIMULATED" in await tab.value("document.title")
        rows = await tab.value("[...document.querySelectorAll('#position-table tbody tr')].map(one => one.innerText)")
        assert rows[0].startswith("ETH"), "nearest to its liquidation price first"
        await tab.until(
            "document.querySelector('#position-table tbody tr').innerText.includes('at 2\u202f425.4779 · venue')",
            "the liquidation price to be the venue's",
        )
        assert "in sync" in await tab.text("#position-table")
        await tab.until("document.querySelectorAll('#allocation li').length === 2", "two venues' shares")
        await tab.until("document.querySelector('#venues .age').innerText.endsWith(' ago')", "an age")
        await tab.until("document.querySelector('#plot figcaption').innerText.includes('Unrealised PnL')", "a plot")
        assert "Unrealised PnL" in await tab.text("#totals")
        await tab.until("document.querySelector('#equity li')?.innerText.includes('USD')", "what the account is worth")
        assert_clean(tab, stage.page)


async def test_a_bar_is_as_long_as_the_distance(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        ratio = """(() => { const row = [...document.querySelectorAll('#position-table tbody tr')]
          .find(one => one.innerText.startsWith('ETH'));
          const [bar, track] = ['.fill', '.track'].map(one => row.querySelector(one).getBoundingClientRect().width);
          return [bar / track, parseFloat(row.querySelector('.distance').innerText.replace(/[^0-9.]/g, ''))]; })()"""
        await tab.until("document.querySelector('#position-table .fill')", "a bar")
        await tab.until(f"(([bar, percent]) => Math.abs(bar - percent / 30) < 0.02)({ratio})", "8 % to fill 8/30")


async def test_marks_move_without_a_reload(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        at_venue(stage.venue, "mark", coin="xyz:TSLA", price="260")
        await tab.until("document.querySelector('#position-table').innerText.includes('xyz:TSLA')", "TSLA")
        row = "[...document.querySelectorAll('#position-table tbody tr')].find(one => one.innerText.startsWith('xyz'))"
        await tab.until(f"({row}).querySelector('.pnl').innerText.startsWith('+10')", "about 104 of profit")


async def test_what_an_old_mark_keeps_out_of_the_totals_is_greyed(browser: Browser, stage: Stage):
    # Of an account that nobody compares.
    stage.ask("POST", "api/positions/open?asset=OP/USD&venue=coinbase&account=paper&size=10&entry_price=1")
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    price = {"venue": "coinbase", "symbol": "OP-USD", "price": "2", "observed_at": long_ago}
    stage.ask("POST", "v1/prices", {"prices": [price]})
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        row = (
            "[...document.querySelectorAll('#position-table tbody tr')].find(one => one.innerText.startsWith('OP-USD'))"
        )
        await tab.until(f"({row})?.dataset.mark === 'old'", "the old mark to be noticed")
        assert "old: not in the totals" in await tab.value(f"({row}).innerText")
        colour = "getComputedStyle(({}).querySelector('.pnl')).color"
        fresh = "document.querySelector('#position-table tbody tr:not([data-mark])')"
        assert await tab.value(colour.format(row)) != await tab.value(colour.format(fresh))
        assert await tab.value("document.querySelectorAll('[data-mark=old]').length") == 1
        assert "1 with an old mark" in await tab.text("#totals")
        assert await tab.value(PALE) == []
        stage.ask("POST", "v1/prices", {"prices": [price | {"observed_at": datetime.now(UTC).isoformat()}]})
        await tab.until(f"!({row}).dataset.mark", "a fresh mark to count again")
        assert_clean(tab, stage.page)
    stage.ask("POST", "api/positions/OP/USD/close?account=paper&close_price=2")


async def test_no_number_is_broken_in_two(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await tab.open(stage.page)
        said = await tab.value(f"""import('{stage.page}page/decimal.js').then(({{prose}}) =>
          prose('sold 4 at 2 425.48, about 1 012 141 USD, 26.62 % of 3 1000'))""")
        assert said == "sold 4 at 2\u202f425.48, about 1\u202f012\u202f141 USD, 26.62\u202f% of 3 1000"


async def test_filter_and_order(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        names = "[...document.querySelectorAll('#position-table strong.symbol')].map(one => one.innerText).join()"
        await tab.until(f"{names}.split(',').length === 6", "all")
        await tab.press("/")
        await tab.type("tsla")
        await tab.until(f"{names} === 'xyz:TSLA'", "TSLA alone")
        await tab.type("nonsense")
        assert "Clear it" in await tab.text("#positions-empty")
        await tab.value("document.querySelector('#filter').select()")
        await tab.type(" ")
        await tab.click("#position-table thead button", "Position")
        await tab.until(f"{names} === 'BTC,BTC-USD,ETH,HYPE,SOL,xyz:TSLA'", "the alphabet")
        await tab.click("#position-table thead button", "Notional")
        await tab.click("#position-table thead button", "Notional")
        amounts = (
            "[...document.querySelectorAll('td.notional_value')].map(one => +one.innerText.replace(/[^0-9.]/g, ''))"
        )
        await tab.until(
            f"(found => found.every((one, at) => !at || found[at - 1] >= one))({amounts})", "the largest first"
        )
        sorted_by = "document.querySelector('#position-table [aria-sort=descending]').innerText"
        assert (await tab.value(sorted_by)).startswith("Notional")


async def test_equity_is_shown_with_what_is_missing(browser: Browser, stage: Stage):
    """As a run would tell it."""
    checks: list[dict[str, Any]] = [
        {"venue": "one", "actual": "12500.5", "expected": "12500", "gap": "0.5", "tolerance": "1"},
        {"venue": "two", "actual": "900", "expected": "1000.25", "gap": "-100.25", "tolerance": "1"},
        {"venue": "three", "actual": "7", "expected": "9", "gap": "-2", "tolerance": "1", "confirmed": True},
    ]
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        shown = await tab.value(
            f"import('{stage.page}page/venues.js').then(it => it.drawEquity({json.dumps(checks)}))"
            ".then(() => [...document.querySelectorAll('#equity li')].map(one => one.innerText.replace(/\\s+/g, ' ')))"
        )
        assert "12 500.50 USD ✓ adds up" in shown[0]
        assert "\u2212100.25 against 1 000.25 expected: looking again" in shown[1]
        assert "something is missing in the book" in shown[2]
        await tab.until("document.querySelectorAll('#equity li').length === 1", "what the run tells to come again")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_a_venue_says_whether_it_pushes_and_why_equity_is_not_checked(browser: Browser, stage: Stage, dark: bool):
    """As the Reconciler would tell it."""
    one = {
        "account": "main",
        "source": "SOURCE_LIVE",
        "age_ms": "1",
        "budget_left": "9",
        "positions": 2,
        "last_error": "",
    }
    one |= {"state": "OK", "equity_unchecked": "", "push": {"state": "UP", "last_error": "of the past"}}
    down = {"state": "DOWN", "last_error": "closed by <b>peer</b>"}
    why = "it does not tell what moves its balances"
    venues = [
        one | {"venue": "one"},
        one | {"venue": "two", "push": down, "equity_unchecked": why},
        one | {"venue": "three", "push": {"state": "OFF", "last_error": ""}},
        one
        | {"venue": "four", "state": "UNCONFIGURED", "push": {"state": "OFF"}, "equity_unchecked": "not configured"},
    ]
    async with browser.tab(DESKTOP, dark=dark) as tab:
        await opened(tab, stage.page)
        shown, pale = await tab.value(
            f"import('{stage.page}page/venues.js').then(it => it.drawVenues({json.dumps(venues)})).then(() => "
            f"[[...document.querySelectorAll('#venues li')].map(one => one.innerText.replace(/\\s+/g, ' ')), {PALE}])"
        )
        assert "LIVE · pushes · 2 positions" in shown[0]
        assert "of the past" not in shown[0]
        assert "LIVE · polled · 2 positions" in shown[1]
        assert "◆ push is down, so it is polled: closed by <b>peer</b>" in shown[1]
        assert shown[1].endswith(f"equity not checked: {why}")
        assert "LIVE · polled · 2 positions" in shown[2]
        assert "down" not in shown[2]
        assert not any(word in shown[3] for word in ("polled", "equity"))
        assert pale == []


async def test_a_share_says_whose_word_it_is(browser: Browser, stage: Stage):
    """As the Reconciler would tell it."""
    one = {"target": "0.5", "actual": "0.5", "drift": "0", "within_tolerance": True, "value": "100"}
    long_ago = (datetime.now(UTC) - timedelta(hours=2, seconds=30)).isoformat()
    seen = one | {"basis": "ALLOCATION_BASIS_VENUE", "observed_at": long_ago}
    found = {
        "seen": seen | {"booked_value": "100.001"},
        "differs": seen | {"booked_value": "90"},
        "unseen": one | {"basis": "ALLOCATION_BASIS_BOOK", "booked_value": "100"},
    }
    answer = {"allocations": found, "tolerance": "0.05", "portfolio_value": "300"}
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        shown = await tab.value(
            f"import('{stage.page}page/venues.js').then(it => it.drawAllocation({json.dumps(answer)})).then(() => "
            "Object.fromEntries([...document.querySelectorAll('#allocation li')].map(one => "
            "[one.querySelector('strong').innerText, one.innerText.replace(/\\s+/g, ' ')])))"
        )
        assert shown["seen"].endswith("100.00 USD by the venue, read 2 h ago")
        assert shown["differs"].endswith("100.00 USD by the venue, read 2 h ago · 90.00 USD in the book")
        assert shown["unseen"].endswith("100.00 USD by the book")
        await tab.until(
            "document.querySelector('#allocation').innerText.includes('hyperliquid')", "the real shares to come again"
        )
        assert_clean(tab, stage.page)


async def test_a_distance_says_to_whose_price_it_is(browser: Browser, stage: Stage):
    """As the Position service would tell it."""
    estimate = {"symbol": "A", "liquidation_distance_percent": "8", "estimated_liquidation_price": "90.5"}
    given = estimate | {"symbol": "B", "liquidation_price": "91.5"}
    positions = [estimate, given, given | {"symbol": "C", "venue_liquidation_price": "1092.5"}, {"symbol": "D"}]
    for one in positions:
        one |= {"position_id": one["symbol"], "side": "SIDE_LONG", "venue": "one", "account": "main"}
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        shown = await tab.value(
            f"import('{stage.page}page/positions.js').then(it => {{"
            " document.querySelectorAll('#position-table thead, #position-table tbody').forEach(one => one.replaceChildren());"
            f" new it.Positions().set({json.dumps(positions)}, []);"
            " return [...document.querySelectorAll('#position-table td.bar')].map(one =>"
            " [one.innerText.replace(/\\s+/g, ' '), one.querySelector('.small').title]); })"
        )
        assert [[text.split("% ")[-1], exact] for text, exact in shown] == [
            ["est. ≈ 90.5", "90.5"],
            ["at 91.5 · given", "91.5"],
            ["at 1 092.5 · venue", "1092.5"],
            ["not known", ""],
        ]


# -- what it does --------------------------------------------------------------------------------


async def test_a_drift_appears_and_is_resolved_by_mouse(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        at_venue(stage.venue, "trade", coin="BTC", side="buy", size="0.1")
        shown = await appears(tab, "BTC")
        assert "size differs" in shown
        assert "never reached the book" in shown
        assert "bought 0.1 BTC at" in shown
        assert "\u202f" in shown
        assert not re.search(r"\d \d{3}\b", shown), "a line may end within a number"
        assert await tab.text("#announcer") == "" or "BTC" in await tab.text("#announcer")
        await press_in_card(tab, "BTC", "Resolve…")
        await tab.until("document.querySelector('#resolve').open", "the dialog")
        diff = "document.querySelector('#resolve-preview').innerText.replace(/\\s+/g, ' ')"
        assert "size 0.5 → 0.6" in await tab.until(f"{diff}.includes('size') && {diff}", "the diff")
        assert "realised PnL 0 → \u2212" in await tab.value(diff)
        assert stage.held("BTC")["size"] == "0.5", "nothing is changed by looking"
        await tab.click("#resolve-confirm")
        assert await tab.value("document.querySelector('#resolve').open"), "not without a reason"
        await tab.click("#resolve-reason")
        await tab.type("the bot was down")
        await tab.click("#resolve-confirm")
        await vanishes(tab, "BTC")
        await tab.until("!document.querySelector('#resolve').open", "the dialog to close")
        assert stage.held("BTC")["size"] == "0.6"
        row = "[...document.querySelectorAll('#position-table tbody tr')].find(one => one.innerText.startsWith('BTC'))"
        await tab.until(f"({row}).querySelector('td.size').innerText.startsWith('0.6')", "the corrected size")
        await tab.until(
            "document.querySelector('#ended').textContent.includes('the bot was down')", "what ended lately"
        )
        assert_clean(tab, stage.page)


async def test_every_way_is_previewed_before_it_is_taken(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        at_venue(stage.venue, "trade", coin="ARB", side="buy", size="100")
        assert "missing in the book" in await appears(tab, "ARB")
        await press_in_card(tab, "ARB", "Resolve…")
        preview = "document.querySelector('#resolve-preview').innerText"
        await tab.until(f"{preview}.includes('After')", "the fills")
        await tab.click("#resolve label", "Adopt the venue")
        await tab.until(f"{preview}.includes('100')", "what the venue holds")
        await tab.click("#resolve label", "Keep the book")
        await tab.until(f"{preview} === 'Nothing in the book is changed.'", "nothing to change")
        await tab.click("#resolve label", "Dismiss")
        assert await tab.text("#resolve-confirm") == "Dismiss the case"
        # Somebody at the venue is quicker: what was looked at is not what would be done.
        at_venue(stage.venue, "close", coin="ARB")
        await tab.until(f"{preview}.includes('has ended meanwhile')", "the dialog to notice")
        assert await tab.value("document.querySelector('#resolve-confirm').disabled")
        await tab.click("#resolve-cancel")
        await tab.until("!document.querySelector('#resolve').open", "the dialog to close")
        assert_clean(tab, stage.page)


async def test_reconciling_counts_what_slow_venues_add(browser: Browser, stage: Stage):
    run = {"positions_compared": 3, "confirmed": 1, "checks": [{"error": ""}]}
    answer = {"run": run, "other_runs": [run | {"positions_compared": 2, "checks": [{"error": "timed out"}]}]}
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        await tab.value(
            "fetch = (real => (url, how) => String(url).includes('/sync') ? "
            f"Promise.resolve(Response.json({json.dumps(answer)})) : real(url, how))(fetch)"
        )
        await tab.click("#reconcile")
        notice = "document.querySelector('#notices').innerText"
        await tab.until(f"{notice}.includes('5 positions compared, 2 drifts, 1 scope unread')", "the sum of all runs")


async def test_acknowledge_and_snooze(browser: Browser, stage: Stage):
    async with browser.tab() as tab, browser.tab() as other:
        await opened(tab, stage.page)
        await opened(other, stage.page)
        at_venue(stage.venue, "leverage", coin="HYPE", value=10, mode="cross")
        await appears(tab, "HYPE")
        await press_in_card(tab, "HYPE", "Acknowledge")
        await tab.until(f"({card('HYPE')}).innerText.includes('acknowledged')", "the badge")
        await press_in_card(tab, "HYPE", "Snooze…")
        await press_in_card(tab, "HYPE", "1 h")
        for each in (tab, other):
            await each.until(f"({card('HYPE')})?.innerText.includes('snoozed until')", "the badge, on every page")
        at_venue(stage.venue, "leverage", coin="HYPE", value=3, mode="cross")
        await vanishes(tab, "HYPE")
        assert_clean(tab, stage.page)


async def test_an_error_says_what_to_do(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        at_venue(stage.venue, "leverage", coin="HYPE", value=5, mode="cross")
        await appears(tab, "HYPE")
        # The answer of a case that somebody else has moved: it is refused, the page says so and stays usable.
        (drift,) = (one for one in stage.ask("GET", "v1/drifts")["drifts"] if one["symbol"] == "HYPE")
        await tab.value(
            "fetch = (real => (url, how) => String(url).includes(':ack')"
            " ? real(url, {...how, body: JSON.stringify({expected_revision: '1'})}) : real(url, how))(fetch)"
        )
        await press_in_card(tab, "HYPE", "Acknowledge")
        await tab.until("document.querySelector('.notice.error')", "the message")
        assert "Look at it again" in await tab.text(".notice.error")
        await tab.click(".notice.error button")
        await tab.until("!document.querySelector('.notice')", "the message to be closed")
        stage.ask("POST", f"v1/drifts/{drift['drift_id']}:acknowledge", {})
        at_venue(stage.venue, "leverage", coin="HYPE", value=3, mode="cross")
        await vanishes(tab, "HYPE")


async def test_by_keyboard_alone(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        at_venue(stage.venue, "close", coin="SOL")
        await appears(tab, "SOL")
        focused = "document.activeElement.innerText"
        await tab.press("Tab")
        assert await tab.value(focused) == "Skip to the drifts"
        await tab.press("Enter")
        for _ in range(20):
            await tab.press("Tab")
            if await tab.value(f"({card('SOL')}).contains(document.activeElement) && {focused} === 'Resolve…'"):
                break
        else:
            pytest.fail("Resolve… cannot be reached by Tab")
        await tab.press("Enter")
        await tab.until("document.querySelector('#resolve').open", "the dialog")
        assert await tab.value("document.activeElement.type") == "radio"
        await tab.press("Escape")
        assert not await tab.value("document.querySelector('#resolve').open")
        assert await tab.value(focused) == "Resolve…", "focus returns to where it was"
        await tab.press("Enter")
        for _ in range(15):  # more than there is in it: the page behind is out of reach
            await tab.press("Tab")
            inside = "document.activeElement === document.body || document.querySelector('#resolve').contains(document.activeElement)"
            assert await tab.value(inside)
        await tab.until("document.querySelector('#resolve-preview').innerText.includes('→ 0')", "the diff")
        for _ in range(15):
            if await tab.value("document.activeElement.id") == "resolve-reason":
                break
            await tab.press("Tab", shift=True)
        await tab.type("closed by hand")
        await tab.press("Enter")
        await vanishes(tab, "SOL")
        await tab.until("document.activeElement.id === 'drifts-title'", "focus not to be lost with the card")
        wait_until(lambda: not stage.ask("GET", "v1/positions?symbol=SOL")["positions"], "SOL to be closed")
        assert_clean(tab, stage.page)


async def test_markup_is_shown_as_text(browser: Browser, stage: Stage):
    stage.ask("PATCH", f"v1/positions/{stage.held('HYPE')['position_id']}", {"labels": {"desk": MARKUP}})
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        await tab.until("document.querySelector('#position-table .labels').innerText !== undefined", "labels")
        await tab.until(f"document.body.innerText.includes({json.dumps(MARKUP)})", "the label as it is")
        at_venue(stage.venue, "leverage", coin="HYPE", value=7, mode="cross")
        await appears(tab, "HYPE")
        (drift,) = (one for one in stage.ask("GET", "v1/drifts")["drifts"] if one["symbol"] == "HYPE")
        stage.ask("POST", f"v1/drifts/{drift['drift_id']}:acknowledge", {"reason": MARKUP})
        await tab.until(f"({card('HYPE')}).textContent.includes({json.dumps(MARKUP)})", "the reason as it is")
        assert await tab.value("document.querySelectorAll('main img, main b b').length") == 0
        assert await tab.value("window.wasRun") is None
        assert_clean(tab, stage.page)
    at_venue(stage.venue, "leverage", coin="HYPE", value=3, mode="cross")


async def test_the_key_is_sent_and_kept_by_the_tab_alone(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        await tab.value(
            "window.sent = []; fetch = (real => (url, how) => { sent.push(how?.headers?.['X-API-Key']);"
            " return real(url, how); })(fetch)"
        )
        await tab.click("#open-settings")
        await tab.click("#api-key")
        await tab.type("a-key")
        await tab.click("#settings button.primary")
        await tab.until("sent.filter(one => one === 'a-key').length > 4", "calls and streams to carry the key")
        assert await tab.value("sessionStorage.length") == 1
        assert await tab.value("localStorage.length") == 0
        assert await tab.value("document.cookie") == ""


# -- where it is shown ---------------------------------------------------------------------------


async def test_on_a_phone_nothing_lies_beside_the_screen(browser: Browser, stage: Stage):
    at_venue(stage.venue, "trade", coin="kPEPE", side="buy", size="50000")
    async with browser.tab(PHONE) as tab:
        await opened(tab, stage.page)
        await appears(tab, "kPEPE")
        await tab.until("document.querySelectorAll('#position-table tbody tr').length > 2", "positions")
        assert await tab.value("document.documentElement.scrollWidth") <= PHONE[0]
        small = """[...document.querySelectorAll('button, input, a, summary')].filter(one => one.offsetParent)
          .filter(one => !one.closest('.skip')).map(one => [one.innerText, one.getBoundingClientRect()])
          .filter(([, box]) => box.height < 20 || box.width < 24).map(([text]) => text)"""
        assert await tab.value(small) == [], "too small for a thumb"
        await press_in_card(tab, "kPEPE", "Resolve…")
        await tab.until("document.querySelector('#resolve-preview').innerText.includes('50\u202f000')", "the diff")
        box = await tab.value("document.querySelector('#resolve').getBoundingClientRect().toJSON()")
        assert box["left"] >= 0
        assert box["right"] <= PHONE[0]
        await tab.click("#resolve label", "Dismiss")
        await tab.until("document.querySelector('#resolve-preview').innerText.startsWith('Nothing')", "the preview")
        await tab.click("#resolve-reason")
        await tab.type("a test")
        await tab.click("#resolve-cancel")
        assert_clean(tab, stage.page)
    at_venue(stage.venue, "close", coin="kPEPE")


def large_book() -> list[dict[str, Any]]:
    """300 positions as the Position service would tell them: long names, long numbers, many labels, no marks."""
    labels = {"strategy-b": "momentum-with-a-long-name-" + "x" * 30, "strategy-a": "carry"}
    wide = {"size": "1000000.123456789012345678", "entry_price": "0.000000123456", "leverage": "5"}
    wide |= {"estimated_liquidation_price": "0.000000100016", "account": "main/a-sub-account-with-a-long-name"}
    wide |= {"side": "SIDE_LONG", "venue": "hyperliquid", "labels": labels}
    return [wide | {"position_id": f"{number}", "symbol": f"BIT-{number:03d}-28NOV25-CDE"} for number in range(300)]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_a_large_book_sticks_out_of_nothing_and_hides_no_venue(browser: Browser, stage: Stage, size):
    async with browser.tab(size) as tab:
        await opened(tab, stage.page)
        await tab.until(
            "document.querySelectorAll('#venues li').length && !document.querySelector('#allocation').hidden", "venues"
        )
        # Beside the live rows, which are drawn anew all the time: a table of its own in place of that one.
        first, out = await tab.value(
            f"import('{stage.page}page/positions.js').then(it => {{"
            " const old = document.querySelector('#position-table'), made = old.cloneNode(false);"
            " made.append(document.createElement('thead'), document.createElement('tbody')); made.hidden = false;"
            " old.replaceWith(made);"
            f" new it.Positions().set({json.dumps(large_book())}, []);"
            " const edge = document.querySelector('#positions').getBoundingClientRect().right;"
            " const ends = [...made.querySelectorAll('tbody td, tbody th')].map(one => one.getBoundingClientRect().right);"
            " return [made.tBodies[0].rows[0].innerText.replace(/\\s+/g, ' '), ends.filter(one => one > edge + 1).length]; })"
        )
        assert "strategy-a=carry, strategy-b=momentum" in first
        assert "not known est. ≈ 0.000000100016" in first
        assert out == 0
        assert await tab.value("document.documentElement.scrollWidth") <= size[0]
        if size == PHONE:
            await tab.click("header a", "Venues")
        else:
            await tab.value("scrollTo(0, document.body.scrollHeight)")
        await tab.until(
            "(box => box.top >= 0 && box.top < innerHeight)(document.querySelector('#allocation').getBoundingClientRect())",
            "the venues' shares to be on the screen",
        )
        assert await tab.value("document.documentElement.scrollHeight") < 5 * size[1] or size == PHONE


# Text that is too close to its ground in brightness, by WCAG's formula. Grounds may be see-through.
PALE = """(() => {
  const parse = text => { const canvas = parse.canvas ||= new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const over = ([r, g, b, a], below) => [r, g, b].map((one, at) => (one * a + below[at] * (255 - a)) / 255);
  const ground = one => { const own = parse(getComputedStyle(one).backgroundColor);
    return own[3] === 255 ? own : over(own, one.parentElement ? ground(one.parentElement) : parse('Canvas')); };
  const light = rgb => rgb.slice(0, 3).map(one => one / 255).map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const one = node.parentElement;
    if (!node.data.trim() || !one.checkVisibility() || one.closest('.source, .unseen, .skip, noscript, svg')) continue;
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(ground(one))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${node.data.trim().slice(0, 30)} ${contrast.toFixed(2)}`);
  }
  return found;
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_can_be_read_and_is_read_out(browser: Browser, stage: Stage, dark: bool):
    at_venue(stage.venue, "leverage", coin="HYPE", value=8, mode="cross")
    async with browser.tab(DESKTOP, dark=dark) as tab:
        await opened(tab, stage.page)
        await appears(tab, "HYPE")
        await tab.until("document.querySelectorAll('#position-table tbody tr').length > 2", "positions")
        assert await tab.value("matchMedia('(prefers-color-scheme: dark)').matches") is dark
        assert await tab.value(PALE) == []
        tree = (await tab.call("Accessibility.getFullAXTree"))["nodes"]
        heard = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
        nameless = {"button", "link", "textbox", "searchbox", "table", "article", "region", "columnheader", "heading"}
        assert [role for role, name in heard if role in nameless and not name.strip()] == []
        roles = [role for role, _ in heard]
        assert {"main", "banner", "navigation", "table", "rowheader", "article", "status"} <= set(roles)
        assert ("searchbox", "Filter") in heard
        levels = await tab.value(
            "[...document.querySelectorAll('h1, h2, h3')].filter(one => one.offsetParent).map(one => +one.tagName[1])"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "a level is skipped"
        assert await tab.value("document.documentElement.lang") == "en"
        assert await tab.value("document.getElementById('announcer').getAttribute('aria-live')") == "polite"
        await press_in_card(tab, "HYPE", "Resolve…")
        await tab.until("document.querySelector('#resolve-preview').innerText.includes('After')", "the diff")
        assert await tab.value(PALE) == []
        assert_clean(tab, stage.page)
    at_venue(stage.venue, "leverage", coin="HYPE", value=3, mode="cross")


async def test_new_drifts_are_read_out_but_not_those_that_were_there(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        at_venue(stage.venue, "leverage", coin="HYPE", value=4, mode="cross")
        wait_until(lambda: "HYPE" in stage.open_drifts(), "the drift")
        await opened(tab, stage.page)
        await appears(tab, "HYPE")
        assert await tab.text("#announcer") == ""
        at_venue(stage.venue, "trade", coin="ARB", side="sell", size="70")
        await tab.until("document.querySelector('#announcer').textContent.includes('ARB short')", "it to be read out")
    at_venue(stage.venue, "close", coin="ARB")
    at_venue(stage.venue, "leverage", coin="HYPE", value=3, mode="cross")


# -- what may break ------------------------------------------------------------------------------


async def test_says_that_it_is_cut_off_and_comes_back(browser: Browser, stage: Stage):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await tab.call("Network.emulateNetworkConditions", offline=True, **conditions)
        await tab.until("document.body.dataset.connection === 'broken'", "the page to notice")
        assert "Reconnecting…" in await tab.text("#connection")
        assert "as of" in await tab.text("#connection")
        await tab.call("Network.emulateNetworkConditions", offline=False, **conditions)
        await tab.until(LIVE, "the page to come back")


@pytest.mark.parametrize("module", ["reconciler_service", "position_service"])
async def test_comes_back_by_itself_after_a_kill(browser: Browser, stage: Stage, module: str):
    async with browser.tab() as tab:
        await opened(tab, stage.page)
        stage.kill(module)
        # What happens meanwhile is there afterwards.
        at_venue(stage.venue, "leverage", coin="HYPE", value=6, mode="cross")
        await appears(tab, "HYPE")
        await tab.until(LIVE, "the page to be live again")
        await tab.until("document.querySelectorAll('#position-table tbody tr').length > 2", "the positions")
        at_venue(stage.venue, "leverage", coin="HYPE", value=3, mode="cross")
        await vanishes(tab, "HYPE")


# -- the Reconciler alone -----------------------------------------------------------------------


async def test_a_reconciler_alone_shows_drifts_alone(browser: Browser, start_position: StartPosition):
    position = await start_position()
    settings = ReconcilerSettings(
        reconciler_listen="127.0.0.1:0", position_address=position.address, http_listen="127.0.0.1:0", drain_grace=1
    )
    app = ReconcilerApp(settings)
    await app.start()
    url = f"http://127.0.0.1:{app.http_port}/"
    try:
        async with browser.tab() as tab:
            await opened(tab, url)
            # Nothing is open because nothing is read: that is no reason to be calm.
            await tab.until("document.querySelector('#source').innerText.startsWith('NO VENUE')", "the banner")
            assert "nothing is compared" in await tab.text("#drifts-empty")
            assert await tab.value("document.getElementById('positions').hidden")
            assert_clean(tab, url)
    finally:
        await app.stop()


# -- its arithmetic ------------------------------------------------------------------------------


async def test_decimals_are_exact(browser: Browser, stage: Stage):
    """Against Python's, with amounts that no float could hold."""
    dice = random.Random(7)
    texts = [
        "0",
        "-0.5",
        "0.5",
        "1.5",
        "2.5",
        "0.005",
        "-0.015",
        "9007199254740993",
        "99999999999999999999.999999999999999999",
    ]
    for _ in range(200):
        whole, fraction = dice.randint(0, 10 ** dice.randint(1, 20) - 1), dice.randint(0, 18)
        tail = f".{dice.randint(0, 10**fraction - 1):0{fraction}d}" if fraction else ""
        texts.append(f"{dice.choice(['', '-'])}{whole}{tail}")
    async with browser.tab() as tab:
        await tab.open(stage.page)
        told = await tab.value(f"""import('{stage.page}page/decimal.js').then(({{round, compare, add, money}}) => {{
          const texts = {json.dumps(texts)};
          return [texts.map(one => round(one, 2)), texts.map((one, at) => compare(one, texts.at(at - 1))),
                  texts.map((one, at) => add(one, texts.at(at - 1))), texts.map(one => money(one))];
        }})""")
    for at, text in enumerate(texts):
        value, other = Decimal(text), Decimal(texts[at - 1])
        rounded = value.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        assert Decimal(told[0][at]) == rounded
        assert told[1][at] == (value > other) - (value < other)
        assert Decimal(told[2][at]) == value + other
        assert told[3][at].replace("\u2212", "-").replace("\u202f", ",") == f"{rounded or abs(rounded):,}"
