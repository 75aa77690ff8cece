from app.errors import MEANINGS, Code
from tests.docs.pages import literals, page, tables

(ROWS,) = tables(page("errors.md"))


def test_the_page_has_every_code_once_in_order() -> None:
    assert [row["code"] for row in ROWS] == [f"`{code}`" for code in sorted(Code)]


def test_status_title_and_cure_are_those_of_the_service() -> None:
    for row in ROWS:
        (code,) = literals(row["code"])
        meaning = MEANINGS[Code(code)]
        assert row["HTTP"] == str(meaning.status), code
        assert row["what happened"].startswith(f"**{meaning.title}.** "), code
        assert row["what to do"].startswith(meaning.hint), code


def test_every_code_is_explained_beyond_its_title() -> None:
    for row in ROWS:
        assert len(row["what happened"].partition(".** ")[2].split()) > 3, row["code"]
