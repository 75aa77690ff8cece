"""How the page looks: on which screens, to axe, and in pictures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import Page, ViewportSize

DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=360, height=740)
# `target-size`: axe leaves out of its own accord what WCAG 2.2 added last
_OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}


class Visit(Protocol):
    """Open the admin page in a browser that has never seen it; `scope` None: nobody is logged in."""

    def __call__(self, *, scope: str | None = "admin", phone: bool = False, dark: bool = False, at: str = "#/") -> Page:
        """Give the page."""
        ...


Shoot = Callable[[Page, str], None]


def screen_of(*, phone: bool, dark: bool) -> dict[str, Any]:
    """Describe a screen, to somebody who wants no movement: what fades in has no colour to be judged by."""
    return {
        "viewport": PHONE if phone else DESKTOP,
        "color_scheme": "dark" if dark else "light",
        "reduced_motion": "reduce",
        "locale": "en-GB",
        "timezone_id": "Europe/Berlin",
    }


@contextmanager
def _looks_kept(page: Page) -> Iterator[None]:
    """Let the block change how the page is looked at."""
    viewport = page.viewport_size or DESKTOP
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    try:
        yield
    finally:
        _look(page, viewport, dark=dark)


def _look(page: Page, viewport: ViewportSize, *, dark: bool) -> None:
    page.set_viewport_size(viewport)
    page.emulate_media(color_scheme="dark" if dark else "light")


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def assert_accessible(page: Page) -> None:
    """Expect that axe finds nothing wrong in what the page shows now: light and dark, on a desktop and on a phone."""
    page.evaluate(_axe())
    found: list[str] = []
    with _looks_kept(page):
        for size, viewport in {"desktop": DESKTOP, "phone": PHONE}.items():
            for dark in (False, True):
                _look(page, viewport, dark=dark)
                where = f"{'dark' if dark else 'light'}, {size}"
                found += [f"{where}: {line}" for line in _violations(page)]
    assert not found, "\n".join(found)


def _violations(page: Page) -> list[str]:
    result = page.evaluate("(options) => axe.run(document, options)", _OPTIONS)
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}: {' '.join(node['failureSummary'].split())}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


def assert_fits(page: Page) -> None:
    """Expect that nothing of what the page shows now is wider than a phone, so that nobody has to scroll sideways."""
    with _looks_kept(page):
        page.set_viewport_size(PHONE)
        wide: list[str] = page.evaluate(_TOO_WIDE)
    assert not wide, "\n".join(wide)


# what scrolls by itself, such as a table in a frame of its own, may be wide inside
_TOO_WIDE = """() => {
  const limit = document.documentElement.clientWidth;
  const cut = (one) => one && (getComputedStyle(one).overflowX !== "visible" || cut(one.parentElement));
  const wide = (one) => one.checkVisibility() && one.getBoundingClientRect().right > limit + 1;
  const name = (one) => `${one.tagName.toLowerCase()}.${one.className}: ${one.textContent.slice(0, 40)}`;
  const page = document.documentElement.scrollWidth > limit ? ["the page"] : [];
  const all = [...document.body.querySelectorAll("*")];
  return page.concat(all.filter((one) => wide(one) && !cut(one.parentElement)).map(name));
}"""


def shots_of(folder: Path | None) -> Shoot:
    """Give what takes pictures of a page: light, dark, and on a phone."""

    def shoot(page: Page, name: str) -> None:
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with _looks_kept(page):
            for look, viewport in {"light": DESKTOP, "dark": DESKTOP, "phone": PHONE}.items():
                _look(page, viewport, dark=look == "dark")
                page.screenshot(path=folder / f"{name}-{look}.png", scale="css", animations="disabled")

    return shoot
