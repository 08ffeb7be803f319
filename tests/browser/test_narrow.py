"""Pages of operators in a window as narrow as a telephone: nothing is wider than it, and what matters is seen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Login
from tests.browser.processes import Worker
from tests.browser.test_operations import SOON, post, submit

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]

WIDTH = 390
LISTS = [
    "job",
    "deadletter",
    "deadlettergroup",
    "deadletterrun",
    "schedule",
    "queue",
    "pausedkind",
    "workerprocess",
    "operatoraction",
]
# In one step: the page is live, and an element that is replaced in between has no height.
MESSAGE = "(e => [e.clientHeight, e.scrollHeight])(document.querySelector('.jb-card--danger .jb-long'))"
WIDER = "document.documentElement.scrollWidth > window.innerWidth"


def dead_letter(page: Page) -> int:
    """A job that died of an error of 3,000 characters without a place to break."""
    job = submit(page, "orders.import", message="x" * 3000)
    page.goto(f"/admin/jobs/job/{job}/change/")
    expect(page.get_by_role("heading", name="Dead letter")).to_be_visible(timeout=SOON)
    return job


def test_no_page_is_wider_than_a_narrow_window(login: Login, worker: Worker) -> None:
    worker.start(name="a-worker-on-a-host-with-a-long-name.internal.example.org")
    page = login("anna", width=WIDTH, scheme="dark")
    post(page, "/api/v1/queues", {"name": "a-queue-with-a-name-" * 4, "description": "words " * 60})
    job = dead_letter(page)
    seen, whole = page.evaluate(MESSAGE)
    assert seen < 300 < whole
    pages = [f"job/{job}/change", f"deadletter/{job}/edit", "queue/imports/edit", "queue/new", "job/submit"]
    pages += [f"job/_act/discard/?keys={job}", "deadletterrun/new", "queue/imports/change", *LISTS]
    for address in pages:
        answer = page.goto(f"/admin/jobs/{address}{'' if '?' in address else '/'}")
        assert answer is not None
        assert answer.status == 200, address
        assert not page.evaluate(WIDER), address
    # The control: what sticks out would be seen.
    page.evaluate(
        "document.querySelector('#main').insertAdjacentHTML('beforeend', '<p style=\"width: 600px\">.</p>')"
    )
    assert page.evaluate(WIDER)


def test_the_state_that_is_listed_is_seen_among_the_tabs(login: Login) -> None:
    page = login("anna", width=WIDTH)
    for state in ("dead", "skipped", "blocked"):
        page.goto(f"/admin/jobs/job/?state={state}")
        box = page.locator(".jb-tab--active").bounding_box()
        assert box is not None
        assert box["x"] >= 0, state
        assert box["x"] + box["width"] <= WIDTH, state
