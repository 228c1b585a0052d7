"""Provisioning and dashboards without a server: variables that exist, the plugin's query model, a clean layout."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetpulse.settings import known_variables
from tests.support.grafana_macros import View, expand

ROOT = Path(__file__).parents[3] / "infra" / "grafana"
DASHBOARDS = sorted((ROOT / "dashboards").glob("*.json"))
WIDTH = 24


def load(path: Path) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(path.read_text())
    return dashboard


def queries(node: Any) -> list[dict[str, Any]]:
    """Everything in a dashboard that has SQL."""
    if isinstance(node, list):
        return [query for item in node for query in queries(item)]
    if not isinstance(node, dict):
        return []
    return ([node] if "rawSql" in node else []) + [query for item in node.values() for query in queries(item)]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.yaml")), ids=lambda path: path.parent.name)
def test_provisioning_takes_its_values_from_settings(path: Path) -> None:
    text = path.read_text()

    assert yaml.safe_load(text)["apiVersion"] == 1
    variables = set(re.findall(r"\$(\w+)", text))
    assert {name for name in variables if name != "FLEETPULSE_"} <= known_variables()
    assert "FLEETPULSE_GRAFANA_CLICKHOUSE_PASSWORD" in variables or path.parent.name == "dashboards"


def test_the_dashboards_ask_the_provisioned_data_source() -> None:
    provisioned = yaml.safe_load((ROOT / "provisioning" / "datasources" / "fleetpulse.yaml").read_text())
    [source] = provisioned["datasources"]
    for path in DASHBOARDS:
        variable = next(item for item in load(path)["templating"]["list"] if item["type"] == "datasource")
        assert variable["query"] == source["type"] == "grafana-clickhouse-datasource"
        assert variable["current"]["value"] == source["uid"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_is_in_the_plugins_model(path: Path) -> None:
    dashboard = load(path)
    for query in queries([dashboard["panels"], dashboard["annotations"]]):
        assert query["editorType"] == "sql"
        assert (query["format"], query["queryType"]) in ((0, "timeseries"), (1, "table"))
        assert query["pluginVersion"].startswith("4.")
        assert query["refId"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_ids_and_places_of_their_own(path: Path) -> None:
    panels = load(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= WIDTH
        taken |= cells


def test_dashboards_have_ids_and_link_to_each_other() -> None:
    uids = [load(path)["uid"] for path in DASHBOARDS]
    assert len(set(uids)) == len(uids) == 2
    linked = {uid for path in DASHBOARDS for uid in re.findall(r"/d/([\w-]+)", path.read_text())}
    assert linked <= set(uids)


VIEW = View(1_000_000, 4_600_000, 30_000, {"host": ["a'b", "c"], "metric": ["up"]}, {})


@pytest.mark.parametrize(
    ("sql", "expanded"),
    [
        ("$__timeFilter(time)", "time >= toDateTime(1000) AND time <= toDateTime(4600)"),
        (
            "$__timeFilter_ms(t) OR 1",
            "t >= fromUnixTimestamp64Milli(1000000) AND t <= fromUnixTimestamp64Milli(4600000) OR 1",
        ),
        ("$__timeInterval(time) AS t", "toStartOfInterval(toDateTime(time), INTERVAL 30 second) AS t"),
        ("$__toTime - 5, $__fromTime", "toDateTime(4600) - 5, toDateTime(1000)"),
        ("x / $__interval_s", "x / 30"),
        ("hosts=[${host:singlequote}]", "hosts=['a\\'b','c']"),
        ("'$metric' ${metric}", "'up' up"),
    ],
)
def test_the_expander(sql: str, expanded: str) -> None:
    assert expand(sql, VIEW) == expanded


@pytest.mark.parametrize("sql", ["$__nothing(x)", "$nobody", "$__timeFilter()", "$__timeFilter(a"])
def test_the_expander_refuses_what_it_does_not_know(sql: str) -> None:
    with pytest.raises(AssertionError):
        expand(sql, VIEW) if sql != "$__timeFilter()" else expand("$__timeFilter(a, b)", VIEW)


def test_a_custom_all_goes_in_as_it_is() -> None:
    view = View(0, 1, 1, {}, {"host": "/* all */"})
    assert expand("hosts=[${host:singlequote}]", view) == "hosts=[/* all */]"
