"""A real web process, real workers and a real browser on the session's database.

Playwright's synchronous API runs an event loop in this thread, where Django refuses queries. So the browser begins
after what needs the database and ends before the tables are emptied, and tests act through pages and REST alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from playwright.sync_api import Browser, Error, Page, Request, ViewportSize, sync_playwright

from tests.browser.processes import Site, Worker

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse battery staple"
_PAGES = pytest.StashKey[list[tuple[Page, set[Request]]]]()

Login = Callable[..., Page]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshot", metavar="FILE", help="write the operations page at work to this file")


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Hashing takes long on purpose; once is enough."""
    return make_password(PASSWORD)


@pytest.fixture
def accounts(transactional_db: None, password_hash: str) -> None:
    """anna and ben may do everything to jobs; vera may look."""
    ours = Permission.objects.filter(content_type__app_label="jobs")
    for name, permissions in {
        "anna": ours,
        "ben": ours,
        "vera": ours.filter(codename__startswith="view_"),
    }.items():
        user = get_user_model()._default_manager.create(username=name, password=password_hash, is_staff=True)
        user.user_permissions.set(permissions)


@pytest.fixture
def site(accounts: None, tmp_path: Path) -> Iterator[Site]:
    """Daphne, ready."""
    site = Site(tmp_path)
    site.start()
    yield site
    site.kill()


@pytest.fixture
def worker(accounts: None, tmp_path: Path) -> Iterator[Worker]:
    """A worker process, not started yet."""
    worker = Worker(tmp_path)
    yield worker
    worker.kill()


@pytest.fixture
def browser(accounts: None, site: Site, worker: Worker) -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        browser.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed says where its pages stood and what the server said: a time-out alone says nothing of why."""
    report = yield
    if report.when == "call" and report.failed:
        for page, unanswered in item.stash.get(_PAGES, []):
            waits = [f"waits for {request.url}" for request in unanswered]
            report.sections.append(("page", "\n".join([page.url, *waits, _text(page)])))
        for name in ("site", "worker"):
            if isinstance(process := item.funcargs.get(name), Site | Worker):  # type: ignore[attr-defined]
                report.sections.append((name, "\n".join(process.said().splitlines()[-60:])))
    return report


def _unanswered(page: Page) -> set[Request]:
    """The requests of a page that have no whole answer yet."""
    requests: set[Request] = set()

    def ended(request: Request) -> None:
        requests.discard(request)

    page.on("request", lambda request: requests.add(request))  # noqa: PLW0108 - playwright marks what it is given
    page.on("requestfinished", ended)
    page.on("requestfailed", ended)
    return requests


def _text(page: Page) -> str:
    try:
        return page.inner_text("body", timeout=1_000)
    except Error as error:
        return str(error)


@pytest.fixture
def login(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Login:
    """login("anna") is her operations page, live, in a browser of her own."""
    pages = request.node.stash.setdefault(_PAGES, [])

    def enter(name: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
        size: ViewportSize = {"width": width, "height": height}
        context = browser.new_context(
            base_url=site.address,
            viewport=size,
            color_scheme="dark" if scheme == "dark" else "light",
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(15_000)
        page = context.new_page()
        pages.append((page, _unanswered(page)))
        page.goto("/admin/operations/")
        page.fill("[name=username]", name)
        page.fill("[name=password]", PASSWORD)
        page.click("[type=submit]")
        page.wait_for_selector("[data-live=yes]")
        return page

    return enter
