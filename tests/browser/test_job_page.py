"""The page of a job while it runs: progress, log lines and what is gone of them appear without a reload."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import Login
from tests.browser.kinds_text import HOSTILE
from tests.browser.processes import Worker
from tests.browser.test_operations import SOON, post, submit

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]


# Looked up and asked in one step, since the part of the page may be replaced between two.
AT_END = """(() => {
    const log = document.querySelector("[data-log]");
    return log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
})()"""


class Script:
    """What the running job says next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def say(self, *lines: str) -> None:
        # In one write: the job reads the file all the time.
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))


def opened(page: Page, script: Script) -> None:
    """The page of a job that runs and has said its first line."""
    script.say("log first line", "progress 0.2")
    job = submit(page, "report.chatty", script=str(script.path))
    page.goto(f"/admin/jobs/job/{job}/change/")
    expect(page.get_by_role("log")).to_contain_text("first line", timeout=SOON)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "20", timeout=SOON)
    with page.expect_response(
        re.compile("/live/$")
    ):  # one look when the stream is open, and no other from here on
        page.reload()
    expect(page.locator("[data-live-text]")).to_have_text("live", timeout=SOON)
    expect(page.get_by_role("log")).to_contain_text("first line")
    page.evaluate("window.neverReloaded = true")


def asked_for_the_part(page: Page) -> list[str]:
    """Fetches of the changing part from now on."""
    seen: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/live/"):
            seen.append(request.url)

    page.on("request", note)
    return seen


def test_ages_grow_while_nothing_is_told(login: Login, worker: Worker, tmp_path: Path) -> None:
    page, script = login("anna", scheme="light"), Script(tmp_path / "script")
    worker.start()
    opened(page, script)
    fetches = asked_for_the_part(page)
    began = page.locator(".jb-timeline time[data-age]")
    shown = began.text_content()
    expect(began).not_to_have_text(shown or "", timeout=SOON)
    expect(began).to_have_text(re.compile(r"^\d+ s ago$"), timeout=SOON)
    assert fetches == []


def test_a_running_job_is_followed_line_by_line(login: Login, worker: Worker, tmp_path: Path) -> None:
    page, script = login("anna", scheme="dark"), Script(tmp_path / "script")
    worker.start()
    opened(page, script)
    fetches = asked_for_the_part(page)
    log, bar = page.get_by_role("log"), page.get_by_role("progressbar")

    script.say("progress 0.55", "log second line", f"log warn {HOSTILE}")

    expect(log.locator(".jb-log__line")).to_have_count(3, timeout=SOON)
    expect(log.locator(".jb-log__text")).to_have_text(["first line", "second line", f"warn {HOSTILE}"])
    expect(log.locator(".jb-log__line--warning")).to_have_count(1)
    expect(bar).to_have_attribute("aria-valuenow", "55", timeout=SOON)
    expect(page.locator("[data-progress-note]")).to_have_text("55 %: at 0.55")
    expect(bar.locator("div")).to_have_attribute("style", re.compile("55%"))
    assert fetches == [], "the events themselves were shown"

    loss = page.locator("[data-log-loss]")
    expect(loss).to_be_hidden()
    script.say("flood 1200", "once charge:42")
    expect(loss).to_contain_text(
        "The oldest 203 lines were dropped: a job keeps its newest 1000.", timeout=SOON
    )
    expect(log.locator(".jb-log__line")).to_have_count(1000, timeout=SOON)
    expect(log.locator(".jb-log__text").last).to_have_text("flood 1199")
    expect(page.locator("#live-part")).to_contain_text("charge:42", timeout=SOON)
    assert page.evaluate(AT_END), "the newest line is in view"

    page.evaluate("document.querySelector('[data-log]').scrollTop = 0")
    script.say("log last line")
    expect(log.locator(".jb-log__text").last).to_have_text("last line", timeout=SOON)
    expect(loss).to_contain_text("The oldest 204 lines")
    assert not page.evaluate(AT_END), "who has scrolled up is left where he reads"

    script.say("end")
    expect(page.locator(".jb-badge--completed").first).to_be_visible(timeout=SOON)
    expect(log.locator(".jb-log__line")).to_have_count(1000)
    assert page.evaluate("window.neverReloaded")


def test_why_a_job_waits_follows_what_no_event_of_the_job_tells(login: Login) -> None:
    page = login("anna", scheme="light")
    job = submit(page, "report.chatty", queue="slow", script="none")
    post(page, "/api/v1/queues/slow/pause", {})
    page.goto(f"/admin/jobs/job/{job}/change/")
    why = page.locator(".jb-why-not")
    expect(why).to_contain_text("is paused", timeout=SOON)
    expect(page.locator("[data-live-text]")).to_have_text("live", timeout=SOON)
    post(page, "/api/v1/queues/slow/resume", {})
    expect(why).not_to_contain_text("is paused", timeout=SOON)
    expect(why).to_contain_text("worker")
    post(page, "/api/v1/kinds/report.chatty/pause", {})
    expect(why).to_contain_text("is paused", timeout=SOON)
