"""The alert rules that are shipped: they are rules, they fire when they should, they ask for what is served."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

PROMETHEUS = Path(__file__).parents[2] / "deploy/prometheus"
_SELECTOR = re.compile(r"(cell_backup_\w+)(?:\{(\w+)=\"(\w+)\"\})?")


@pytest.fixture
def promtool() -> str:
    """Give the checker that comes with Prometheus; skip where there is none."""
    found = shutil.which("promtool")
    if found is None and os.environ.get("CELL_BACKUP_REQUIRE_ENGINE") == "1":
        pytest.fail("CELL_BACKUP_REQUIRE_ENGINE=1, but there is no promtool")
    return found or pytest.skip("there is no promtool")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "--syntax-only", "scrape.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_own_checker_is_content(promtool: str, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr


def test_every_alert_has_a_test_of_when_it_fires() -> None:
    alerts = re.findall(r"- alert: (\w+)", (PROMETHEUS / "alerts.yml").read_text())
    tested = re.findall(
        r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:", (PROMETHEUS / "alerts_test.yml").read_text()
    )
    assert len(alerts) > 9
    assert set(alerts) == set(tested)


async def test_every_series_that_an_alert_asks_for_is_there_from_the_beginning(client: httpx2.AsyncClient) -> None:
    families = list(text_string_to_metric_families((await client.get("/metrics")).text))
    served = {sample.name for family in families for sample in family.samples}
    labels = {
        (sample.name, *label) for family in families for sample in family.samples for label in sample.labels.items()
    }
    expressions = re.findall(r"^ +expr: (.*)$", (PROMETHEUS / "alerts.yml").read_text(), re.MULTILINE)
    asked = [match.groups() for expression in expressions for match in _SELECTOR.finditer(expression)]
    assert len(asked) > 9
    assert {name for name, *_ in asked} <= served
    assert {selector for selector in asked if selector[1] is not None} <= labels
