"""Which components of an archive a restore takes, and which of them keep what the archive lacks."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.archive.manifest import Header, Manifest, outcome_of
from app.archive.parts import Part, PartFault, PartKind, PartOutcome, PartResult
from app.archive.verify import Report
from app.errors import Code
from workers.restoring.components import ComponentChoice, choose_components
from workers.restoring.request import RestoreRequest

NOW = datetime(2026, 11, 23, tzinfo=UTC)
KNOWN = ("vault", "identity", "web", "rest")
WHY = PartFault("file_unreadable", "data/vault/x cannot be read: Permission denied.", "Mend it.")


def saved(name: str, outcome: PartOutcome = PartOutcome.SUCCEEDED, **more: Any) -> PartResult:
    error = None if outcome is PartOutcome.SUCCEEDED else WHY
    return PartResult(Part(PartKind.COMPONENT, name), outcome, **{"files": 1, "error": error, **more})


def report_of(*results: PartResult) -> Report:
    header = Header("b", NOW, "home", None, "0", tuple(result.part for result in results))
    return Report(1, 1, 1, header, Manifest("b", NOW, outcome_of(results), results))


QUICK = Report(1, 1, 1, None, None)
WHOLE = report_of(*map(saved, KNOWN))
ALL = set(KNOWN)


def choose(report: Report, found: set[str] = ALL, known: Sequence[str] = KNOWN, **request: Any) -> ComponentChoice:
    return choose_components(report, RestoreRequest.of(request, "off"), known, found)


def test_everything_is_made_equal() -> None:
    assert choose(WHOLE) == ComponentChoice(KNOWN, frozenset(), (), ())


def test_the_layout_has_the_order() -> None:
    assert choose(report_of(*map(saved, reversed(KNOWN)))).names == KNOWN


def test_overlay_for_all_that_is_taken() -> None:
    assert choose(WHOLE, mode="overlay").overlay == ALL


def test_a_choice_of_components() -> None:
    choice = choose(WHOLE, components=["web", "vault"])
    assert (choice.names, choice.left_out) == (("vault", "web"), ())


def test_no_components_at_all() -> None:
    assert choose(WHOLE, components=[]) == ComponentChoice((), frozenset(), (), ())


def test_what_was_asked_for_and_is_not_there_is_said() -> None:
    report = report_of(saved("vault"))
    choice = choose(report, {"vault"}, components=["vault", "web"])
    assert choice.names == ("vault",)
    (left,) = choice.left_out
    assert (left.part.name, left.outcome) == ("web", PartOutcome.SKIPPED)
    assert left.error is not None
    assert left.error.code == Code.NOTHING_TO_RESTORE


def test_what_was_not_asked_for_by_name_and_is_not_there_is_no_word_worth() -> None:
    assert choose(report_of(saved("vault")), {"vault"}) == ComponentChoice(("vault",), frozenset(), (), ())


def test_a_component_that_was_empty_makes_the_cells_empty_too() -> None:
    choice = choose(report_of(saved("vault"), saved("web", files=0)), {"vault"})
    assert (choice.names, choice.overlay) == (("vault", "web"), frozenset())


def test_files_of_a_component_that_the_archive_does_not_name_are_laid_over() -> None:
    choice = choose(report_of(saved("vault")), {"vault", "rest"})
    assert (choice.names, choice.overlay) == (("vault", "rest"), frozenset({"rest"}))


def test_a_quick_archive_takes_what_it_has() -> None:
    choice = choose(QUICK, {"vault", "rest"})
    assert (choice.names, choice.overlay, choice.warnings) == (("vault", "rest"), frozenset(), ())


def test_a_failed_component_is_refused_and_the_others_are_taken() -> None:
    choice = choose(report_of(saved("vault", PartOutcome.FAILED), saved("web")), {"vault", "web"})
    assert choice.names == ("web",)
    (left,) = choice.left_out
    assert (left.part.name, left.outcome) == ("vault", PartOutcome.FAILED)
    assert left.error is not None
    assert left.error.code == Code.PART_DAMAGED
    assert left.error.message == f"When the backup was made, 'vault' was not saved whole: {WHY.message}"
    assert "--damaged accept" in left.error.hint


def test_accepted_damage_is_laid_over_and_said() -> None:
    damaged = replace(saved("vault", PartOutcome.FAILED), damaged=tuple(f"data/vault/{n}" for n in range(7)))
    choice = choose(report_of(damaged, saved("web")), {"vault", "web"}, damaged="accept")
    assert (choice.names, choice.overlay, choice.left_out) == (("vault", "web"), frozenset({"vault"}), ())
    (said,) = choice.warnings
    assert "data/vault/0" in said
    assert "data/vault/6" not in said


@pytest.mark.parametrize("damaged", ["refuse", "accept"])
def test_a_skipped_component_has_nothing_to_accept(damaged: str) -> None:
    choice = choose(report_of(saved("vault", PartOutcome.SKIPPED), saved("web")), {"web"}, damaged=damaged)
    assert choice.names == ("web",)
    (left,) = choice.left_out
    assert left.part.name == "vault"
    assert left.error is not None
    assert left.error.hint == "Use another backup."


def test_an_archive_of_another_layout_removes_nothing() -> None:
    choice = choose(report_of(saved("vault"), saved("keys"), saved("zones")), {"vault", "rest"})
    assert choice.overlay == {"vault", "rest"}
    (said,) = choice.warnings
    assert "keys, zones" in said
