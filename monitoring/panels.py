"""The few kinds of panel the dashboards are made of, and how they are laid out.

Every panel has a title, a description, a unit and queries over the data source and job variables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
SOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, WARN, BAD = "green", "orange", "red"
Steps = Sequence[tuple[float | None, str]]
"""Colours from a value on; the first step's value is None: from the lowest value on."""


@dataclass(frozen=True)
class Query:
    """One PromQL expression; ``legend`` names its series by label templates, in a table it is the column's title."""

    expr: str
    legend: str = ""
    unit: str = ""
    """Of its table column, where it differs from the table's."""


@dataclass(frozen=True)
class Row:
    """Panels side by side below a heading; they wrap at 24 columns."""

    title: str
    panels: Sequence[Panel]


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    w: int = 8,
    h: int = 8,
    limits: Steps = (),
    stacked: bool = False,
    exemplars: bool = False,
    top: float | None = None,
    colours: dict[str, str] | None = None,
) -> Panel:
    """Return a time series panel; ``limits`` are drawn as lines, ``colours`` are fixed by series name."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(w)
        .height(h)
        .line_width(2 if not stacked else 1)
        .fill_opacity(30 if stacked else 0)
        .show_points(common_models.VisibilityMode.NEVER)
        .targets([_target(query, ref, exemplars=exemplars) for ref, query in zip("ABCDEFGH", queries, strict=False)])
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if top is not None:
        panel.max(top)
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if limits:
        panel.thresholds(_thresholds(limits))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    for name, colour in (colours or {}).items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(name, [models.DynamicConfigValue(id_val="color", value=fixed)])
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *,
    w: int = 3,
    h: int = 4,
    steps: Steps = ((None, GOOD),),
    empty: str = "No data",
    decimals: int | None = None,
    mappings: dict[str, str] | None = None,
) -> Panel:
    """Return a stat panel of the value now; ``empty`` is what it says when there is none.

    No graph behind it: that would take a range query, whose last value may be hours old.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(w)
        .height(h)
        .no_value(empty)
        .thresholds(_thresholds(steps))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(Query(expr), "A", instant=True))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if mappings:
        panel.mappings([_mapping(mappings)])
    return panel


def rows(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    columns: dict[str, str],
    w: int = 24,
    h: int = 8,
    empty: str = "No data",
    sort: str = "",
) -> Panel:
    """Return a table, one row a set of labels, one column a query; ``columns`` are labels with their titles."""
    titles = {f"Value #{ref}": query.legend for ref, query in zip("ABCDEFGH", queries, strict=False) if query.legend}
    if len(queries) == 1:
        titles = {"Value": queries[0].legend} if queries[0].legend else {}
    shown = {**columns, **titles}
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(w)
        .height(h)
        .no_value(empty)
        .targets(
            [_target(query, ref, instant=True, as_table=True) for ref, query in zip("ABCDEFGH", queries, strict=False)]
        )
        .transformations(
            [
                *([models.DataTransformerConfig(id_val="merge", options={})] if len(queries) > 1 else []),
                models.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": list(shown)}}),
                models.DataTransformerConfig(
                    id_val="organize",
                    options={"indexByName": {name: at for at, name in enumerate(shown)}, "renameByName": shown},
                ),
            ]
        )
    )
    for query in queries:
        if query.unit:
            panel.override_by_name(query.legend, [models.DynamicConfigValue(id_val="unit", value=query.unit)])
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    return panel


def states(
    title: str,
    description: str,
    query: Query,
    *,
    w: int = 12,
    h: int = 8,
    names: dict[str, str],
    steps: Steps = ((None, BAD), (1, GOOD)),
) -> Panel:
    """Return a state timeline; ``names`` maps values to words."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("short")
        .span(w)
        .height(h)
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .mappings([_mapping(names)])
        .show_value(common_models.VisibilityMode.NEVER)
        .merge_values(True)
        .row_height(0.8)
        .legend(common.VizLegendOptions().show_legend(False))
        .with_target(_target(query, "A"))
    )


def density(title: str, description: str, unit: str, expr: str, *, w: int = 12, h: int = 8) -> Panel:
    """Return a heat map of a classic histogram's buckets; ``expr`` keeps the label ``le``."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("reqps")
        .span(w)
        .height(h)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_models.HeatmapColorMode.SCHEME)
            .scheme("Blues")
            .scale(heatmap_models.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
        .with_target(_target(Query(expr, "{{le}}"), "A").format(PromQueryFormat.HEATMAP))
    )


def board(
    uid: str,
    title: str,
    description: str,
    layout: Sequence[Row],
    variables: Sequence[dashboard.QueryVariable] = (),
    time: str = "now-3h",
) -> dashboard.Dashboard:
    """Return a dashboard of ``layout`` with what all of them share: links, annotations, the data source variable."""
    built = (
        dashboard.Dashboard(title)
        .uid(f"sightglass-{uid}")
        .description(description)
        .tags(["sightglass"])
        .timezone("browser")
        .refresh("30s")
        .time(time, "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .version(1)
        .link(
            dashboard.DashboardLink("Sightglass")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["sightglass"])
            .as_dropdown(True)
            .include_vars(False)
            .keep_time(True)
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource")
            .label("Data source")
            .type("prometheus")
            .current(models.VariableOption(text="Prometheus", value="prometheus", selected=True))
        )
        .annotation(
            _annotation(
                "Deploys",
                "blue",
                'group by (version, revision) (app_info{job="api"})'
                ' unless group by (version, revision) (app_info{job="api"} offset 1m)',
                "Deployed {{version}}",
            )
        )
        .annotation(
            _annotation("Alerts", "red", 'ALERTS{alertstate="firing",severity=~"page|ticket"}', "{{alertname}}")
        )
    )
    for variable in variables:
        built.with_variable(variable)
    number_of_panel = y = 0
    for row in layout:
        number_of_panel += 1
        built.with_row(dashboard.Row(row.title).id(number_of_panel).grid_pos(models.GridPos(x=0, y=y, w=24, h=1)))
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            size = panel.build().grid_pos
            if size is None:
                raise ValueError(f"{uid}: a panel without size")
            if x + size.w > 24:
                x, y, height = 0, y + height, 0
            number_of_panel += 1
            built.with_panel(panel.id(number_of_panel).grid_pos(models.GridPos(x=x, y=y, w=size.w, h=size.h)))
            x, height = x + size.w, max(height, size.h)
        y += height
    return built


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Return a variable of a label's values, all of them chosen at first."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": name})
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )
    # All jobs are those offered: names such as process_cpu_seconds_total exist in others too.
    return variable if name == "job" else variable.all_value(".*")


def quantiles(histogram: str, selector: str, by: str = "") -> tuple[Query, ...]:
    """Return p50, p95 and p99 of a classic histogram, over all of its series or ``by`` labels."""
    keep = f"le, {by}" if by else "le"
    return tuple(
        Query(
            f"histogram_quantile({q}, sum by ({keep}) (rate({histogram}_bucket{{{selector}}}[$__rate_interval])))",
            f"p{q * 100:g}" + (f" {{{{{by}}}}}" if by else ""),
        )
        for q in (0.5, 0.95, 0.99)
    )


def _target(
    query: Query, ref: str, *, instant: bool = False, as_table: bool = False, exemplars: bool = False
) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(ref).datasource(SOURCE).expr(query.expr).exemplar(exemplars)
    target = target.instant() if instant else target.range()
    if as_table:
        return target.format(PromQueryFormat.TABLE)
    return target.format(PromQueryFormat.TIME_SERIES).legend_format(query.legend)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=colour) for value, colour in steps])
    )


def _mapping(names: dict[str, str]) -> models.ValueMap:
    return models.ValueMap(options={value: models.ValueMappingResult(text=text) for value, text in names.items()})


def _annotation(name: str, colour: str, expr: str, title: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(colour)
        .expr(expr)
        .title_format(title)
        .step("10s")
    )
