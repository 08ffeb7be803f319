"""Dead letters in a browser: from the group over preview and canary to the undo, live."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Login
from tests.browser.kinds_text import HOSTILE
from tests.browser.processes import Worker
from tests.browser.test_operations import SOON, post, row, submit

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]


def dead_letters(page: Page, worker: Worker, count: int, message: str) -> None:
    """Some that the worker let die, and none that still runs."""
    worker.start()
    jobs = [{"kind": "orders.import", "payload": {"message": message}} for _ in range(count)]
    last = post(page, "/api/v1/jobs/bulk", {"jobs": jobs})["jobs"][-1]["id"]
    expect(row(page, "dead", f"#{last}")).to_be_visible(timeout=SOON)


def open_group(page: Page, error: str) -> None:
    page.goto("/admin/jobs/deadlettergroup/")
    page.get_by_role("link", name=re.compile(error)).first.click()
    expect(page.get_by_role("heading", name=error, exact=True)).to_be_visible()


def count(page: Page, what: str) -> Locator:
    return page.locator(f"[data-count={what}]")


def test_a_set_is_previewed_replayed_with_a_canary_seen_to_halt_and_taken_back(
    login: Login, worker: Worker
) -> None:
    page = login("anna")
    dead_letters(page, worker, 5, HOSTILE)
    open_group(page, "ValueError")
    expect(page.locator("#live-part")).to_contain_text(HOSTILE)
    page.get_by_role("link", name="Replay …").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("5 jobs will get fresh attempts")).to_be_visible()
    page.get_by_label("Reason").fill("the file was mended")
    page.get_by_text("One first, as a canary").click()
    page.get_by_role("button", name="Replay 5").click()

    # The worker advances it, the canary dies of the same error, the run halts: without a reload.
    expect(page.locator("#live-part")).to_contain_text("The error came back", timeout=SOON)
    expect(page.locator(".jb-badge--halted")).to_be_visible()
    expect(count(page, "done")).to_have_text("1")
    page.get_by_role("link", name="Stop").click()
    page.get_by_label("Reason").fill("it is not mended")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".jb-badge--stopped")).to_be_visible()

    # Without a worker the rest waits, and can be taken back.
    worker.kill()
    open_group(page, "ValueError")
    page.get_by_role("link", name="Replay …").click()
    page.get_by_role("button", name="Preview").click()
    page.get_by_label("Reason").fill("try again")
    page.get_by_role("button", name="Replay 5").click()
    expect(count(page, "done")).to_have_text("5", timeout=SOON)
    expect(page.locator(".jb-badge--finished")).to_be_visible(timeout=SOON)
    page.get_by_role("link", name="Undo").click()
    page.get_by_label("Reason").fill("too soon")
    page.get_by_role("button", name="Undo").click()
    expect(count(page, "undone")).to_have_text("5", timeout=SOON)
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_dead_letters_fit_a_narrow_screen(login: Login, worker: Worker, scheme: str) -> None:
    page = login("anna", width=390, height=844, scheme=scheme)
    for path in ("deadlettergroup/", "deadletterrun/", "deadletter/"):
        page.goto(f"/admin/jobs/{path}")
        expect(page.locator(".jb-empty")).to_be_visible()
    page.goto("/admin/operations/")
    dead_letters(page, worker, 3, "x" * 300)
    job = submit(page, "mail.send")
    assert job
    open_group(page, "ValueError")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("link", name="Discard …").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("3 jobs will never run.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_label("Reason").fill("pointless")
    page.get_by_role("button", name="Discard 3").click()
    expect(count(page, "done")).to_have_text("3", timeout=SOON)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_link_that_is_pressed_is_followed_though_the_page_is_brought_up_to_date(
    login: Login, worker: Worker
) -> None:
    page = login("anna")
    page.goto("/admin/operations/")
    dead_letters(page, worker, 1, "lost")
    open_group(page, "ValueError")
    group = page.url
    page.goto("about:blank")  # what the page before was fetching would be held too, and is never answered
    held: list[Route] = []
    page.route("**/live/", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    page.goto(group)
    eventually_held(page, held)
    page.get_by_role("link", name="Discard …").hover()
    page.mouse.down()
    with page.expect_response("**/live/"):
        held[0].continue_()
    page.wait_for_timeout(300)  # as long as a slow click, in which the answer is worked in
    page.mouse.up()
    expect(page.get_by_role("button", name="Preview")).to_be_visible()


def test_a_menu_that_opens_on_a_press_does_not_keep_the_page_from_being_brought_up_to_date(
    login: Login, worker: Worker
) -> None:
    page = login("anna")
    page.goto("/admin/operations/")
    dead_letters(page, worker, 1, "lost")
    open_group(page, "ValueError")
    group = page.url
    page.goto("about:blank")
    held: list[Route] = []
    page.route("**/live/", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    page.goto(group)
    eventually_held(page, held)
    page.evaluate("document.querySelector('#live-part').firstElementChild.id = 'from-before'")
    page.get_by_role("link", name="Discard …").hover()
    page.mouse.down(button="right")  # the menu takes the release
    held[0].continue_()
    expect(page.locator("#from-before")).to_have_count(0)


def test_nothing_moves_when_a_page_goes_live(login: Login, worker: Worker) -> None:
    page = login("anna", width=390)
    page.goto("/admin/operations/")
    dead_letters(page, worker, 1, "lost")
    open_group(page, "ValueError")
    group = page.url
    page.goto("about:blank")
    held: list[Route] = []
    page.route("**/stream?*", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    page.goto(group)
    eventually_held(page, held)
    before = top_of_buttons(page)
    held[0].continue_()
    expect(page.locator("[data-live][data-state=on]")).to_be_visible()
    assert top_of_buttons(page) == before


def top_of_buttons(page: Page) -> Any:
    """In one step: the part of the page in which they are may be replaced at any time."""
    return page.evaluate("document.querySelector('.jb-buttons').getBoundingClientRect().top")


def eventually_held(page: Page, held: list[Route]) -> None:
    for _ in range(100):
        if held:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page never asked for its changing part")
