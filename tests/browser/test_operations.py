"""The operations page in a browser: what people see while things happen elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Login
from tests.browser.kinds_text import HOSTILE
from tests.browser.processes import Site, Worker

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]

SOON = 15_000
"""Milliseconds; the machine may be busy."""


def post(page: Page, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a program does, with the session of this page."""
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    answer = page.request.post(path, data=body, headers={"X-CSRFToken": token})
    assert answer.ok, answer.text()
    found: dict[str, Any] = answer.json()
    return found


def submit(page: Page, kind: str, *, queue: str | None = None, priority: int = 0, **payload: Any) -> int:
    body = {"kind": kind, "queue": queue, "priority": priority, "payload": payload}
    number: int = post(page, "/api/v1/jobs", body)["id"]
    return number


def workflow(gate: dict[str, str]) -> list[dict[str, Any]]:
    """Four jobs, the second of which waits for the gate."""
    return [
        {"key": "collect", "kind": "mail.send", "queue": "reports", "priority": 100},
        {"key": "render", "kind": "report.render", "parents": ["collect"], "priority": 100, "payload": gate},
        {"key": "send", "kind": "mail.send", "parents": ["render"]},
        {"key": "archive", "kind": "mail.send", "parents": ["render"]},
    ]


def row(page: Page, table: str, words: str) -> Locator:
    return page.locator(f"[data-part={table}] tbody tr").filter(has_text=words)


def banner(page: Page) -> Locator:
    return page.locator("[data-part=banner-text]")


def press(page: Page, queue: str, action: str, *, reason: str) -> None:
    page.get_by_role("button", name=f"{action} queue {queue}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=action).click()
    expect(dialog).to_be_hidden(timeout=SOON)


def test_a_submitted_job_is_seen_to_run_and_to_finish_without_reload(
    login: Login, worker: Worker, tmp_path: Path
) -> None:
    page = login("anna")
    expect(page.get_by_text("No worker is running.")).to_be_visible()
    page.evaluate("window.neverReloaded = true")
    worker.start()
    expect(row(page, "workers", "worker-1")).to_contain_text("live", timeout=SOON)

    job = submit(page, "report.render", gate=str(tmp_path / "gate"))

    running = row(page, "running", f"#{job}")
    expect(running).to_contain_text("report.render", timeout=SOON)
    expect(running).to_contain_text("40 %", timeout=SOON)
    expect(page.locator("[data-state=running]")).to_have_text("1")
    (tmp_path / "gate").touch()
    expect(running).to_have_count(0, timeout=SOON)
    expect(page.locator("[data-part=completed]")).not_to_have_text(re.compile("^[^1-9]*$"), timeout=SOON)
    assert page.request.get(f"/api/v1/jobs/{job}").json()["state"] == "completed"
    assert page.evaluate("window.neverReloaded") is True


def test_a_lost_server_is_said_and_what_happened_meanwhile_is_told(
    login: Login, site: Site, worker: Worker, tmp_path: Path
) -> None:
    page = login("anna")
    expect(page.locator("[data-part=connection]")).to_have_text("Live")
    site.kill()

    expect(banner(page)).to_have_text(
        re.compile(r"^Not connected — last update \d\d:\d\d:\d\d, trying again$"), timeout=SOON
    )
    expect(page.locator("[data-live=no]")).to_be_visible()
    worker.start(name="started-meanwhile")
    site.start()

    expect(banner(page)).to_be_empty(timeout=40_000)
    expect(page.locator("[data-live=yes]")).to_be_visible()
    expect(page.locator("[data-part=feed]")).to_contain_text("Worker started-meanwhile started", timeout=SOON)
    job = submit(page, "report.render", gate=str(tmp_path / "gate"))
    expect(row(page, "running", f"#{job}")).to_be_visible(timeout=SOON)
    (tmp_path / "gate").touch()


def test_a_queue_that_somebody_else_pauses_is_seen_to_be_paused(login: Login) -> None:
    """With no worker at all: the web process alone must bring the event to the others."""
    anna, ben = login("anna"), login("ben")
    submit(anna, "mail.send")
    expect(row(ben, "queues", "mail")).to_be_visible(timeout=SOON)

    press(anna, "mail", "Pause", reason="the mail server moves")

    for page in (anna, ben):
        expect(row(page, "queues", "mail")).to_contain_text("paused", timeout=SOON)
        entry = page.locator("[data-part=feed] li").filter(has_text="the mail server moves")
        expect(entry).to_have_text(re.compile("anna: pause queue mail: the mail server moves$"), timeout=SOON)
    press(ben, "mail", "Resume", reason="it has moved")
    expect(row(anna, "queues", "mail")).not_to_contain_text("paused", timeout=SOON)


def test_what_happened_is_told_in_the_words_of_the_record(login: Login) -> None:
    told = login("anna").evaluate(
        """async () => {
          const page = document.querySelector('script[src*="operations/page"]').src;
          const { Feed } = await import(page.replace("page.js", "feed.js"));
          const list = document.createElement("ol");
          const feed = new Feed(list, document.createElement("p"));
          for (const target_type of ["queue", "deadletterrun"])
            feed.add({ kind: "operator.action", at: "2030-01-01T00:00:00Z",
              data: { actor: "ada", action: "stop", target_type, target_id: "7", reason: "" } });
          return [...list.querySelectorAll("span")].map((entry) => entry.textContent);
        }"""
    )
    assert told == ["ada: stop dead-letter run 7", "ada: stop queue 7"]


def test_a_refusal_is_said_in_the_dialog(login: Login) -> None:
    anna = login("anna")
    submit(anna, "mail.send")
    button = anna.get_by_role("button", name="Pause queue mail")
    button.click()
    post(anna, "/api/v1/queues/mail/pause", {"reason": "first"})
    dialog = anna.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("second")
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog.get_by_role("alert")).to_have_text('The queue "mail" is already paused.', timeout=SOON)


def test_who_may_only_look_sees_no_buttons_and_is_refused(login: Login) -> None:
    anna, vera = login("anna"), login("vera")
    submit(anna, "mail.send")
    expect(row(vera, "queues", "mail")).to_be_visible(timeout=SOON)
    expect(vera.locator("[data-part=operations] button")).to_have_count(0)
    expect(anna.get_by_role("button", name="Pause queue mail")).to_be_visible(timeout=SOON)

    token = next(c["value"] for c in vera.context.cookies() if c["name"] == "csrftoken")
    form: dict[str, str | float | bool] = {"queue": "mail", "action": "pause", "reason": "let me"}
    answer = vera.request.post("/admin/operations/queue", form=form, headers={"X-CSRFToken": token})

    assert answer.status == 403
    assert "jobs.pause_queue" in answer.json()["detail"]


def test_text_from_jobs_is_never_markup(login: Login, worker: Worker) -> None:
    page = login("anna")
    worker.start()
    job = submit(page, "orders.import")

    expect(row(page, "dead", f"#{job}")).to_contain_text(f"ValueError: {HOSTILE}", timeout=SOON)
    expect(page.locator("[data-part=feed]")).to_contain_text(f"Job #{job} orders.import became a dead letter")
    page.reload()
    expect(row(page, "dead", f"#{job}")).to_contain_text(HOSTILE, timeout=SOON)
    expect(page.locator("[data-part=operations] img")).to_have_count(0)
    assert page.evaluate("window.hacked") is None


def test_more_tabs_than_a_browser_has_connections_are_all_live(login: Login) -> None:
    """Six streams of their own would use up what the browser gives one host, and the seventh page would not load."""
    first = login("anna")
    tabs = [first.context.new_page() for _ in range(8)]
    for tab in tabs:
        tab.goto("/admin/operations/")
        expect(tab.locator("[data-live=yes]")).to_be_visible(timeout=SOON)

    submit(first, "mail.send")

    for tab in (first, *tabs):
        expect(row(tab, "queues", "mail")).to_be_visible(timeout=SOON)


def test_who_logs_out_elsewhere_is_told_and_can_come_back(login: Login) -> None:
    page = login("anna")
    token = next(c["value"] for c in page.context.cookies() if c["name"] == "csrftoken")
    page.request.post("/admin/logout/", headers={"X-CSRFToken": token})

    expect(banner(page)).to_have_text(re.compile("^You are logged out"), timeout=30_000)
    page.get_by_role("link", name="Log in again").click()
    expect(page).to_have_url(re.compile(r"/admin/login/\?next=/admin/operations/$"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_shows_everything_without_scrolling_sideways(
    login: Login, worker: Worker, tmp_path: Path, scheme: str
) -> None:
    page = login("anna", width=390, height=844, scheme=scheme)
    worker.start()
    job = submit(page, "report.render", gate=str(tmp_path / "gate"))
    dead = submit(page, "orders.import", message="x" * 300)
    expect(row(page, "running", f"#{job}")).to_be_visible(timeout=SOON)
    expect(row(page, "dead", f"#{dead}")).to_be_visible(timeout=SOON)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    (tmp_path / "gate").touch()


def test_the_picture_of_the_page_at_work(
    login: Login, worker: Worker, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With --screenshot FILE it is written down, after a minute of work; without, the same page is only looked at."""
    target = request.config.getoption("--screenshot", default=None)
    page = login("anna", width=1360, height=1000)
    worker.start(name="ops-1")
    gate = {"gate": str(tmp_path / "gate")}
    post(page, "/api/v1/jobs/bulk", {"jobs": [{"kind": "mail.send"} for _ in range(9000 if target else 100)]})
    post(page, "/api/v1/workflows", {"name": "month end", "jobs": workflow(gate)})
    submit(page, "report.render", priority=100, until=0.15, **gate)
    submit(page, "report.render", priority=100, until=0.75, **gate)
    submit(page, "mail.send", queue="archive", priority=-100)
    expect(row(page, "queues", "archive")).to_be_visible(timeout=SOON)
    press(page, "archive", "Pause", reason="the disk is being replaced")
    dead = submit(page, "orders.import", priority=100, message="line 17: 'n/a' is not a number")
    expect(row(page, "running", "report.render")).to_have_count(3, timeout=SOON)
    expect(row(page, "workflows", "month end")).to_contain_text("1 of 4")
    expect(row(page, "dead", f"#{dead}")).to_be_visible(timeout=SOON)
    shape = page.locator("path[data-completed]")
    # The line of the chart has a point a second: 5 of them, or 45 for the picture.
    enough = 45 if target else 5
    expect(shape).to_have_attribute("d", re.compile(rf"(L[\d.]+ [\d.]+){{{enough}}}"), timeout=90_000)
    if target is not None:
        page.screenshot(path=target, full_page=True)
    (tmp_path / "gate").touch()
