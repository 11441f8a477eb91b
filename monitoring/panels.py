"""The few kinds of panel the dashboards are made of, and how they are laid out.

Every panel has a title, a description, a unit and queries over the data source variable.
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
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | text.Panel | timeseries.Panel
SOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, WARN, BAD, CALM, NEUTRAL = "green", "orange", "red", "blue", "text"
Steps = Sequence[tuple[float | None, str]]
"""Colours from a value on; the first step's value is None: from the lowest value on."""
STATUS_COLOURS = {"/^2/": GOOD, "/^3/": CALM, "/^4/": "yellow", "429": WARN, "/^5/": BAD}
"""Of series named by status or class, the same on every panel: the last that matches, several are shades of it."""
FULL: Steps = ((None, GOOD), (0.8, WARN), (0.9, BAD))
"""Of a share of what there may be."""
LIMITED: Steps = ((None, GOOD), (0.05, WARN), (0.2, BAD))
"""Of the share of requests over a limit."""
SOFT_MAX = {"percentunit": 0.01, "s": 0.01, "bytes": 1024}
"""To where an axis reaches at least, by unit, else 1. By itself it reaches to 100 over flat zeros, and to 10,000 %."""
SOON = "None yet: a value every 5 minutes"
"""What a panel with an ``interval`` says of a stack that is younger: its samples are at whole multiples of it."""
LOWEST = -1e12
"""Below every value: a colour from here on is one of values, not of there being none."""

WITHOUT_PORT = models.DataTransformerConfig(id_val="renameByRegex", options={"regex": r"/:\d+/", "renamePattern": ""})
"""A replica's name is its address; the port is the same for all."""
BOARD = "/d/sightglass-{board}?${{__url_time_range}}"
"""Where a number leads: the dashboard that tells more, over the same time."""
BY_ROUTE = "/d/sightglass-{board}?var-route=${{{route}:percentencode}}&${{__url_time_range}}"
"""Where a route leads: a dashboard of requests, that route chosen."""
EVERYWHERE = {"edge": "This route at the edge", "api": "This route in the application"}


def route_links(route: str, *boards: str) -> dict[str, str]:
    """Return links to the dashboards of requests; ``route`` is what Grafana calls the route where the link is."""
    return {EVERYWHERE[board]: BY_ROUTE.format(board=board, route=route) for board in boards or EVERYWHERE}


FIRING = 'ALERTS{alertstate="firing",severity=~"page|ticket"}'
DEPLOYS = (
    'min by (version, revision) (app_info{job="api"}'
    ' * on (job, instance, worker) group_left () process_start_time_seconds{job="api"}) * 1000'
    ' unless on (version, revision) app_info{job="api"} offset $__interval'
)
"""When a version's first process started, once, at the first sample that knows the version (milliseconds)."""
VERDICTS = (
    'sightglass_deploy_judged_timestamp_seconds{job="nginx"} * 1000'
    ' unless sightglass_deploy_judged_timestamp_seconds{job="nginx"}'
    ' == sightglass_deploy_judged_timestamp_seconds{job="nginx"} offset $__interval'
)
"""When a deploy was judged, once, at the first sample that knows of it (milliseconds)."""


@dataclass(frozen=True)
class Query:
    """One PromQL expression; ``legend`` names its series by label templates, in a table it is the column's title."""

    expr: str
    legend: str = ""
    unit: str = ""
    """Of its table column, where it differs from the table's."""
    steps: Steps = ()
    """Colours of its table column's numbers."""


@dataclass(frozen=True)
class Row:
    """Panels side by side below a heading; they wrap at 24 columns."""

    title: str
    panels: Sequence[Panel]
    closed: bool = False
    """Whether it has to be opened: what is rarely looked at."""


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    w: int = 8,
    h: int = 9,
    limits: Steps = (),
    stacked: bool = False,
    exemplars: bool = False,
    bottom: float | None = 0,
    top: float | None = None,
    colours: dict[str, str] | None = None,
    dashed: str = "",
    interval: str = "",
    decimals: int | None = None,
    empty: str = "",
) -> Panel:
    """Return a time series panel.

    ``limits`` are drawn as lines. ``colours`` are by a series' name, or by a regular expression between slashes, as
    ``dashed`` is, of the series that are dashed lines.
    ``interval`` is the least distance of two samples, and with it of what a rate is taken over. ``empty`` is what
    stands there while there is nothing to draw, where that is no fault.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(w)
        .height(h)
        .axis_soft_max(SOFT_MAX.get(unit, 1))
        .line_width(2 if not stacked else 1)
        .fill_opacity(30 if stacked else 0)
        .show_points(common_models.VisibilityMode.NEVER)
        .targets([_target(query, ref, exemplars=exemplars) for ref, query in zip("ABCDEFGH", queries, strict=False)])
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
            .sort_by("Last *")
            .sort_desc(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if bottom is not None:
        panel.min(bottom)
    if top is not None:
        panel.max(top)
    if decimals is not None:
        panel.decimals(decimals)
    if interval:
        panel.interval(interval)
    if empty:
        panel.no_value(empty)
    if any("instance" in query.legend for query in queries):
        panel.transformations([WITHOUT_PORT])
    if any("{{route}}" in query.legend for query in queries):
        panel.override_by_field_type("number", [_setting("links", _links(route_links("__field.labels.route")))])
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A"))
    if limits:
        panel.thresholds(_thresholds(limits))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    for name, colour in (colours or {}).items():
        if name.startswith("/"):
            panel.override_by_regexp(name, [_setting("color", {"mode": "shades", "fixedColor": colour})])
        else:
            panel.override_by_name(name, [_setting("color", {"mode": "fixed", "fixedColor": colour})])
    if dashed:
        panel.override_by_regexp(dashed, [_setting("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})])
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
    leads: str = "",
    link: str = "",
) -> Panel:
    """Return a stat panel of the value now; ``empty`` is what it says, in no colour, when there is none.

    ``leads`` is the dashboard that a click leads to, ``link`` another address.

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
        .thresholds(_thresholds([(None, NEUTRAL), (LOWEST, steps[0][1]), *steps[1:]]))
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
    if leads or link:
        address = link or BOARD.format(board=leads)
        panel.override_by_field_type("number", [_setting("links", _links({"More of it": address}))])
    return panel


def rows(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "locale",
    columns: dict[str, str],
    w: int = 24,
    h: int = 9,
    empty: str = "No data",
    sort: str = "",
    widths: dict[str, int] | None = None,
    links: dict[str, dict[str, str]] | None = None,
    words: dict[str, tuple[str, str]] | None = None,
) -> Panel:
    """Return a table, one row a set of labels, one column a query; ``columns`` are labels with their titles.

    By a column's title, ``widths`` are in pixels, and ``links`` are addresses by what they are called; those of ``""``
    are every column's. ``words`` are what stands there in a value's place: a regular expression and what becomes of it.
    Numbers are counts, written out in full, unless ``unit`` or the query's says otherwise.
    """
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
        .min_width(70)
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
    panel.override_by_field_type("string", [_setting("noValue", "-")])
    for query in queries:
        if query.legend and len(queries) > 1:
            panel.override_by_name(query.legend, [_setting("noValue", "-")])
        if query.unit:
            panel.override_by_name(query.legend, [_setting("unit", query.unit)])
        if query.steps:
            of_values = (
                (None, NEUTRAL),
                (LOWEST, query.steps[0][1]),
                *query.steps[1:],
            )  # of none: neither good nor bad
            steps = [{"value": value, "color": colour} for value, colour in of_values]
            by_value = _setting("thresholds", {"mode": "absolute", "steps": steps})
            panel.override_by_name(query.legend, [by_value, _setting("custom.cellOptions", {"type": "color-text"})])
    for name, width in (widths or {}).items():
        panel.override_by_name(name, [_setting("custom.width", width)])
    for name, addresses in (links or {}).items():
        for column in [name] if name else shown.values():
            panel.override_by_name(column, [_setting("links", _links(addresses))])
    for name, (pattern, result) in (words or {}).items():
        mapping = {"type": "regex", "options": {"pattern": pattern, "result": {"text": result, "index": 0}}}
        panel.override_by_name(name, [_setting("mappings", [mapping])])
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    return panel


def states(
    title: str,
    description: str,
    query: Query,
    *,
    w: int = 12,
    h: int = 9,
    names: dict[str, str],
    steps: Steps = ((None, BAD), (1, GOOD)),
) -> Panel:
    """Return a state timeline; ``names`` maps values to words."""
    panel = (
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
    if "instance" in query.legend:
        panel.transformations([WITHOUT_PORT])
    return panel


def prose(title: str, description: str, content: str, *, w: int = 24, h: int = 9) -> Panel:
    """Return a panel of Markdown."""
    return text.Panel().title(title).description(description).span(w).height(h).content(content)


def density(title: str, description: str, unit: str, expr: str, *, w: int = 12, h: int = 9) -> Panel:
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
    *,
    alerts: bool = False,
) -> dashboard.Dashboard:
    """Return a dashboard of ``layout`` with what all of them share: links, deploys, the data source variable.

    With ``alerts``, times at which one fired are tinted.
    """
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
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource")
            .label("Data source")
            .type("prometheus")
            .current(models.VariableOption(text="Prometheus", value="prometheus", selected=True))
            .hide(models.VariableHide.HIDE_VARIABLE)
        )
        .annotation(_annotation("Deploys", CALM, DEPLOYS, "Deployed {{version}}").use_value_for_time(True))
        .annotation(_annotation("Verdicts", CALM, VERDICTS, "Deploy judged: {{verdict}}").use_value_for_time(True))
    )
    if alerts:
        # One tint, however many there are: the table names them.
        built.annotation(_annotation("Alerts", BAD, f"count({FIRING})", "Alerts fire"))
    for variable in variables:
        built.with_variable(variable)
    if alerts:
        built.with_variable(dashboard.ConstantVariable("alertmanager").value("http://127.0.0.1:9093"))
    number_of_panel = y = 0
    for row in layout:
        number_of_panel += 1
        heading = dashboard.Row(row.title).id(number_of_panel).grid_pos(models.GridPos(x=0, y=y, w=24, h=1))
        placed, bottom = _placed(row.panels, number_of_panel + 1, y + 1)
        number_of_panel += len(placed)
        if row.closed:
            heading.collapsed(True)
            for panel in placed:
                heading.with_panel(panel)
            placed, bottom = [], y + 1  # panels of a closed row take no room
        built.with_row(heading)
        for panel in placed:
            built.with_panel(panel)
        y = bottom
    return built


def _placed(panels: Sequence[Panel], first: int, y: int) -> tuple[list[Panel], int]:
    """Return panels with ids from ``first`` on, side by side from line ``y`` on, and the line below them."""
    placed: list[Panel] = []
    x = height = 0
    for panel in panels:
        size = panel.build().grid_pos
        if size is None:
            raise ValueError("a panel without size")
        if x + size.w > 24:
            x, y, height = 0, y + height, 0
        placed.append(panel.id(first + len(placed)).grid_pos(models.GridPos(x=x, y=y, w=size.w, h=size.h)))
        x, height = x + size.w, max(height, size.h)
    return placed, y + height


def choice(name: str, label: str, query: str, *, hidden: bool = False) -> dashboard.QueryVariable:
    """Return a variable of a label's values, all of them chosen at first; ``hidden`` where there is but one."""
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
    if hidden:
        variable.hide(models.VariableHide.HIDE_VARIABLE)
    # All jobs are those offered: names such as process_cpu_seconds_total exist in others too.
    return variable if name == "job" else variable.all_value(".*")


NAMES = "topk by (job, instance) (1, group by (job, instance, container) (sightglass_process_start_time_seconds))"
"""The container's name of each address; one, as a join takes no more."""


def named(expr: str) -> str:
    """Return ``expr``, of the API or the jobs, with their containers' names, which a new address does not change."""
    return f"{expr} * on (job, instance) group_left (container) {NAMES}"


def named_even_silent(expr: str) -> str:
    """Return the same, silent processes' too: where none tells the container's name, the address stands for it."""
    silent = f'label_replace({expr} unless on (job, instance) {NAMES}, "container", "$1", "instance", "(.*)")'
    return f"{named(expr)} or {silent}"


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
    )


def _links(addresses: dict[str, str]) -> list[dict[str, str]]:
    return [{"title": says, "url": address} for says, address in addresses.items()]


def _setting(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)
