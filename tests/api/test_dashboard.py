"""The dashboard that is shipped for Grafana: it asks for what is served, in words that Prometheus understands."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana/dashboard.json"
_NAME = re.compile(r"cell_backup_\w+")
_FIRST_OF_GRAFANA_11 = 39
_WIDTH = 24


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return board


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


async def test_every_metric_of_the_dashboard_is_served(dashboard: dict[str, Any], client: httpx2.AsyncClient) -> None:
    families = text_string_to_metric_families((await client.get("/metrics")).text)
    suffixes = {"counter": ("_total",), "gauge": ("", "_info")}
    served = {family.name + suffix for family in families for suffix in suffixes[family.type]}
    variables = [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    asked = {name for text in (*expressions(dashboard), *variables) for name in _NAME.findall(text)}
    assert len(asked) > 15
    assert asked - served == set()


def test_prometheus_understands_every_expression(dashboard: dict[str, Any], tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None and os.environ.get("CELL_BACKUP_REQUIRE_ENGINE") == "1":
        pytest.fail("CELL_BACKUP_REQUIRE_ENGINE=1, but there is no promtool")
    if promtool is None:
        pytest.skip("there is no promtool")
    rules = [{"record": f"panel:{index}", "expr": text} for index, text in enumerate(expressions(dashboard))]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rules)} rules found" in done.stdout


def test_the_dashboard_is_one_that_grafana_imports(dashboard: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] >= _FIRST_OF_GRAFANA_11
    assert dashboard["uid"]
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${source}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= _WIDTH
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"source", "job", "instance"}


def test_no_two_panels_overlap(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + row) for column in range(place["w"]) for row in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
