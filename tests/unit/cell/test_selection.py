import pytest

from app.cell.selection import Selection, select
from app.errors import Code, InputError


def choose(components: list[str] | None, services: list[str] | None) -> Selection:
    return select(components, services, known_components=["vault", "web", "rest"], known_services=["calendar", "mail"])


def test_nothing_said_takes_everything() -> None:
    chosen = choose(None, None)

    assert chosen == Selection(None, None)
    assert chosen.takes_service("anything")


def test_a_choice_is_put_in_the_cell_s_order_and_said_once() -> None:
    chosen = choose(["rest", "vault", "rest"], ["mail"])

    assert chosen == Selection(("vault", "rest"), ("mail",))
    assert chosen.takes_service("mail")
    assert not chosen.takes_service("calendar")


def test_an_empty_list_takes_none_of_that_sort() -> None:
    assert choose([], None) == Selection((), None)
    assert choose(None, []) == Selection(None, ())


@pytest.mark.parametrize(
    ("components", "services", "code", "message"),
    [
        ([], [], Code.INVALID_REQUEST, "Nothing was chosen: both 'components' and 'services' are empty."),
        (
            ["web", "vaults"],
            None,
            Code.UNKNOWN_COMPONENT,
            "There is no component 'vaults'; this cell has vault, web, rest.",
        ),
        (None, ["x\n"], Code.UNKNOWN_SERVICE, "There is no service 'x\\n'; this cell has calendar, mail."),
    ],
)
def test_a_choice_that_cannot_be_is_refused(
    components: list[str] | None, services: list[str] | None, code: Code, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        choose(components, services)

    assert (caught.value.code, caught.value.message) == (code, message)


def test_a_cell_without_services_says_so() -> None:
    with pytest.raises(InputError, match="this cell has none"):
        select(None, ["mail"], known_components=["rest"], known_services=[])
