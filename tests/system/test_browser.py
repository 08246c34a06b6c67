"""The flows people click, in a real browser. Skipped, with the reason, only where there is no chromium."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.system.conftest import Product

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (make browser)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # trio-asyncio replaces how loops are made; playwright wants an ordinary one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", asyncio.SelectorEventLoop)
        starting = sync_playwright()
        playwright = starting.__enter__()
    try:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()
    finally:
        starting.__exit__(None, None, None)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone's page; anything the console calls an error fails the test."""
    context = browser.new_context(viewport={"width": 360, "height": 740})
    found = context.new_page()
    problems: list[str] = []
    found.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: problems.append(str(error)))
    yield found
    context.close()
    # A declined card is a 402, which the browser reports as well.
    assert [one for one in problems if "402" not in one] == []


def hold_two(page: Page, product: Product) -> None:
    page.goto(f"{product.run['web_url']}/")
    page.get_by_role("link", name="Nachtmusik").click()
    page.get_by_label("How many of General admission").fill("2")
    page.get_by_role("button", name="Hold these tickets").click()
    expect(page.get_by_text("held for you")).to_be_visible()
    expect(page.locator("[data-expires-at]")).to_have_text(re.compile(r"\d+:\d\d"))
    page.get_by_label("Name").fill("Zoë 日本")
    page.get_by_label("E-mail").fill("zoe@example.com")
    page.get_by_role("button", name="Continue to payment").click()
    expect(page.get_by_role("heading", name="Pay €53.50")).to_be_visible()


def card(page: Page, number: str) -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expires").fill("12/39")
    page.get_by_label("CVC").fill("123")
    page.locator("#pay").click()


def test_a_sale_on_a_phone(page: Page, product: Product) -> None:
    hold_two(page, product)
    card(page, "4000 0000 0000 0002")
    expect(page.locator("#wrong")).to_contain_text("declined")
    card(page, "4242 4242 4242 4242")
    expect(page.locator("#order[data-status=paid]")).to_be_visible(timeout=20_000)
    expect(page.locator(".ticket img")).to_have_count(2)
    loaded = page.locator(".ticket img").evaluate_all(
        "images => images.every(image => image.naturalWidth > 0)"
    )
    assert loaded
    # Nothing is wider than the phone.
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("answer", ["Approve", "Fail"])
def test_three_d_secure_in_the_browser(page: Page, product: Product, answer: str) -> None:
    hold_two(page, product)
    card(page, "4000 0027 6000 3184")
    page.get_by_role("button", name=answer).click()
    status = "paid" if answer == "Approve" else "awaiting_payment"
    expect(page.locator(f"#order[data-status={status}]")).to_be_visible(timeout=20_000)


def test_the_tab_is_closed_while_paying(browser: Browser, product: Product) -> None:
    context = browser.new_context()
    page = context.new_page()
    hold_two(page, product)
    order = page.url.rsplit("/", 2)[-2]
    with page.expect_request(re.compile("/confirm$")):
        card(page, "4242424242424242")
    # Stripe has the card; the buyer sees nothing more of it.
    deadline = time.monotonic() + 5
    while not product.http.get(product.run["stripe_url"] + "/_local/requests").json()["data"]:
        assert time.monotonic() < deadline
    context.close()
    found = product.wait_for(order, "paid", "awaiting_payment")
    if found["status"] == "awaiting_payment":
        found = product.wait_for(order, "paid")
    assert len(found["tickets"]) == 2


def test_without_javascript_up_to_the_card(browser: Browser, product: Product) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{product.run['web_url']}/events/{product.run['demo']['event']}")
    page.get_by_role("button", name="Hold these tickets").click()
    expect(page.get_by_role("alert")).to_contain_text("how many")
    page.get_by_label("How many of Balcony").fill("1")
    page.get_by_label("Promo code").fill("friends")
    page.get_by_role("button", name="Hold these tickets").click()
    expect(page.get_by_text("Discount (FRIENDS)")).to_be_visible()
    page.get_by_label("Name").fill("Ann")
    page.get_by_label("E-mail").fill("ann@example.com")
    page.get_by_role("button", name="Continue to payment").click()
    expect(page.get_by_role("heading", name="Pay €34.10")).to_be_visible()
    expect(page.locator("#pay")).to_be_disabled()
    context.close()
