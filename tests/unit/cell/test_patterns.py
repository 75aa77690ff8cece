import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cell.patterns import check_pattern, matches, may_match_below

LETTERS = "ab.\n\udcff"
NAMES = st.text(LETTERS, min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
PARTS = st.just("**") | st.text(LETTERS + "*?", min_size=1, max_size=3).filter(
    lambda part: "**" not in part and part not in {".", ".."}
)
PATTERNS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a path and a pattern that is near it: parts blurred, swallowed by `**`, or foreign."""
    path = draw(PATHS)
    blurs = st.sampled_from([lambda _: "**", lambda _: "*", lambda n: n[:-1] + "?", lambda n: "*" + n[1:], lambda n: n])
    parts = [draw(blurs)(name) for name in path.split("/")]
    parts = [*parts, draw(PARTS)] if draw(st.integers(0, 4)) == 0 else parts
    pattern = "/".join(parts)
    return pattern if not set(parts) & {".", ".."} else "**", path


def slow_part(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(slow_part(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return name != "" and pattern[0] in {"?", name[0]} and slow_part(pattern[1:], name[1:])


def slow_match(pattern: list[str], path: list[str]) -> bool:
    """Match part by part; the empty name after a directory's closing slash is for `**` alone."""
    if not pattern or not path:
        return not pattern and not path
    head, *tail = pattern
    if head == "**":
        return not tail or any(slow_match(tail, path[at:]) for at in range(len(path)))
    return path[0] != "" and slow_part(head, path[0]) and slow_match(tail, path[1:])


@given(questions() | st.tuples(PATTERNS, PATHS), st.booleans())
def test_a_pattern_matches_what_a_slow_reference_matches(question: tuple[str, str], directory: bool) -> None:  # noqa: FBT001
    pattern, path = question
    shown = path + "/" * directory

    assert matches((check_pattern(pattern),), shown) == slow_match(pattern.split("/"), shown.split("/"))


@given(questions())
def test_a_directory_above_a_match_is_never_passed_by(question: tuple[str, str]) -> None:
    pattern, path = question
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]

    if matches((pattern,), path):
        assert all(may_match_below([pattern], directory) for directory in above)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("data/vault/**", "data/vault/", True),
        ("data/vault/**", "data/vault", False),
        ("data/vault/**", "data/vault/ca/.hidden", True),
        ("data/vault/**", "data/vaults/x", False),
        ("data/auth*.json", "data/auth.json", True),
        ("data/auth*.json", "data/auth/x.json", False),
        ("data/*", "data/", False),
        ("data/*", "data/.env", True),
        ("data/?", "data//", False),
        ("**/logs/**", "logs/", True),
        ("**/logs/**", "data/a/logs/b/c", True),
        ("**/logs/**", "data/catalogs/b", False),
        ("**/*.log", "a.log", True),
        ("**/*.log", "data/deep/a.log", True),
        ("**/*.log", "data/x.log/", False),
        ("data/line\nbreak", "data/line\nbreak", True),
        ("data/*.txt", "data/\udcff\n.txt", True),
        ("data/?.txt", "data/\udcff.txt", True),
        ("data/a+b(c)", "data/a+b(c)", True),
        ("data/a.json", "data/aXjson", False),
    ],
)
def test_examples_of_matching(pattern: str, path: str, expected: bool) -> None:  # noqa: FBT001
    assert matches((pattern,), path) is expected


def test_no_pattern_matches_nothing() -> None:
    assert not matches((), "data/")


@pytest.mark.parametrize(
    ("pattern", "directory", "expected"),
    [
        ("data/vault/**", "data", True),
        ("data/vault/**", "data/vault/ca", True),
        ("data/vault/**", "data/web", False),
        ("data/services/*/accounts*.json", "data/services/mail", True),
        ("data/services/*/accounts*.json", "data/services/mail/deeper", False),
        ("Makefile", "Makefile", False),
        ("**/x", "anything/at/all", True),
    ],
)
def test_examples_of_reaching_below(pattern: str, directory: str, expected: bool) -> None:  # noqa: FBT001
    assert may_match_below([pattern], directory) is expected


@pytest.mark.parametrize(
    "pattern",
    ["", "/data", "data/", "data//x", "../x", "data/./x", "da**", "**x/y", "data/[ab]", "a\0b", "services/**"],
)
def test_a_pattern_that_cannot_mean_anything_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_pattern(pattern)
