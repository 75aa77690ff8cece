import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, anchors, links, page, pages
from tests.support.service import PROJECT

every_page = pytest.mark.parametrize("place", pages(), ids=lambda path: str(path.relative_to(PROJECT)))


def is_broken(place: Path, target: str) -> bool:
    """Tell whether a relative link of a page leads nowhere."""
    name, _, anchor = target.partition("#")
    there = place.parent / name if name else place
    return not there.exists() or bool(anchor and anchor not in anchors(there.read_text(encoding="utf-8")))


@every_page
def test_every_relative_link_and_image_leads_to_something(place: Path) -> None:
    targets = [target for _, target in links(place.read_text(encoding="utf-8"))]
    local = [target for target in targets if not target.startswith(("http://", "https://"))]
    assert [target for target in local if is_broken(place, target)] == []


@every_page
def test_images_have_words_for_those_who_do_not_see_them(place: Path) -> None:
    words = re.findall(r"!\[(.*?)\]", place.read_text(encoding="utf-8"))
    assert [text for text in words if len(text.split()) < 4] == []


def test_the_index_and_the_readme_name_every_page() -> None:
    there = {path.name for path in DOCS.glob("*.md")} - {"README.md"}
    assert {target for _, target in links(page("README.md"))} == there
    readme = {target for _, target in links((DOCS.parent / "README.md").read_text(encoding="utf-8"))}
    assert {f"docs/{name}" for name in there} <= readme


def test_a_link_that_leads_nowhere_is_seen() -> None:
    place = DOCS / "README.md"
    assert is_broken(place, "nowhere.md")
    assert is_broken(place, "format.md#nowhere")
    assert not is_broken(place, "format.md#opening-an-encrypted-archive")
