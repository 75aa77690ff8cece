"""What people do on the page, in steps that several tests take."""

import re
import secrets

from playwright.sync_api import Locator, Page, expect


def fresh(words: str) -> str:
    """Make a label of these words that no other backup has."""
    return f"{words} {secrets.token_hex(4)}"


def expect_heading(page: Page, name: str) -> None:
    """Wait until the page shows the view with this heading."""
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()


def log_in(page: Page, token: str) -> None:
    """Show a token to the page that asks for one."""
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Log in").click()


def go_to_backup(page: Page, label: str) -> None:
    """Go to a backup's page as people do: through the list."""
    page.get_by_role("link", name="Backups", exact=True).click()
    page.get_by_label("Search").fill(label)
    page.get_by_role("link", name=label).click()
    expect_heading(page, label)


def ask_for_backup(page: Page, label: str, *, passphrase: str | None = None) -> Locator:
    """Open the dialogue, fill it, and give it; its button is not pressed yet."""
    page.get_by_role("button", name="Back up now").click()
    asked = page.get_by_role("dialog", name="Back up now")
    asked.get_by_label("Label").fill(label)
    if passphrase is not None:
        asked.get_by_label("Encrypt it with a passphrase").check()
        asked.get_by_label("Passphrase", exact=True).fill(passphrase)
        asked.get_by_label("The same again").fill(passphrase)
    return asked


def back_up(page: Page, label: str, *, passphrase: str | None = None) -> None:
    """Begin a backup through its dialogue, and come to its job."""
    ask_for_backup(page, label, passphrase=passphrase).get_by_role("button", name="Back up", exact=True).click()
    expect_heading(page, "Backup")


def row_of(page: Page, table: str, text: str) -> Locator:
    """Find the row of a table that has this text."""
    return page.get_by_role("table", name=table).get_by_role("row").filter(has_text=text)


def at_restore(backup_id: str) -> str:
    """Give the address where a backup is restored."""
    return f"#/backups/{backup_id}/restore"


def button(page: Page, name: str) -> Locator:
    """Find the button of this name."""
    return page.get_by_role("button", name=name, exact=True)


def expect_step(page: Page, name: str) -> None:
    """Wait until a restore is at this step, which its list of steps says too."""
    expect(page.get_by_role("heading", level=2, name=name)).to_be_focused()
    now = page.get_by_role("list", name="Steps").locator("[aria-current=step]")
    expect(now).to_contain_text(name.partition(" ")[2])


def see_plan(page: Page) -> None:
    """Ask for the plan of a restore, and wait for it."""
    button(page, "Show the plan").click()
    expect(button(page, "Go on")).to_be_visible()
    expect_step(page, "2. See what would happen")


def confirm(page: Page, name: str = "home") -> None:
    """Go on from the plan, and begin the restore by typing the cell's name."""
    button(page, "Go on").click()
    expect_step(page, "3. Confirm and restore")
    page.get_by_role("textbox", name=re.compile(r"^Type the ")).fill(name)
    button(page, "Restore now").click()


def expect_title(page: Page, text: str) -> None:
    """Wait until a restore has come so far that its title is this."""
    expect(page.get_by_role("heading", level=2, name=text, exact=True)).to_be_visible(timeout=60_000)
