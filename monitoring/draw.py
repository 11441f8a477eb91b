"""Draws a dashboard's panels from live data into one picture, to be looked at where there is no Grafana.

``python -m monitoring.draw PROMETHEUS_URL DIRECTORY [MINUTES]`` draws every dashboard.
"""

import itertools
import json
import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from monitoring.live import Prometheus, Series, Window, ask, interpolate, panels, variables

mpl.use("Agg")

COLUMN, LINE = 0.66, 0.42  # inches of a grid column and a grid line
PALETTE = ("#4878cf", "#6acc65", "#d65f5f", "#b47cc7", "#c4ad66", "#77bedb", "#e8853d", "#8c8c8c", "#d387b5", "#4c8c6a")
NAMED = {"green": "#2e9e4f", "orange": "#e8853d", "red": "#d0403a", "blue": "#3274d9", "transparent": "#00000000"}
INK, FAINT, PAPER, GROUND = "#24292f", "#8c959f", "#ffffff", "#f4f5f7"


def draw(dashboard: dict[str, Any], prometheus: Prometheus, window: Window, path: Path) -> None:
    """Draw ``dashboard`` over ``window`` into the PNG file ``path``."""
    shown = list(panels(dashboard))
    chosen = variables(prometheus, dashboard, window)
    events = _events(dashboard, prometheus, window)
    headings = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    bottom: int = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in shown)
    width, height = 24 * COLUMN, float(bottom + 1.6) * LINE
    figure = Figure(figsize=(width, height), facecolor=GROUND)

    def up(y: float) -> float:
        return 1 - (y + 1.6) / (bottom + 1.6)

    figure.text(0.008, up(-0.85), dashboard["title"], size=15, weight="bold", color=INK, va="center")
    figure.text(0.992, up(-0.85), dashboard["description"], size=9, color=FAINT, va="center", ha="right")
    for row in headings:
        figure.text(0.008, up(row["gridPos"]["y"] + 0.5), row["title"], size=11, weight="bold", color=INK, va="center")
    for panel in shown:
        at = panel["gridPos"]
        frame = figure.add_axes(
            (at["x"] / 24 + 0.003, up(at["y"] + at["h"]) + 0.05 * LINE / height, at["w"] / 24 - 0.006,
             (at["h"] - 0.15) * LINE / height),
            facecolor=PAPER, xticks=[], yticks=[],
        )  # fmt: skip
        frame.spines[:].set_color("#d8dee4")
        figure.text(at["x"] / 24 + 0.007, up(at["y"] + 0.55), panel["title"], size=8.5, color=INK, va="center")
        answers = [(target, ask(prometheus, target, window, chosen)) for target in panel["targets"]]
        left, legend = (0.036, 1.3) if panel["type"] in {"timeseries", "heatmap", "state-timeline"} else (0.008, 0.3)
        inside = figure.add_axes(
            (at["x"] / 24 + left, up(at["y"] + at["h"] - legend), at["w"] / 24 - left - 0.008,
             (at["h"] - legend - 1.1) * LINE / height),
            facecolor=PAPER,
        )  # fmt: skip
        inside.spines[:].set_visible(False)
        KINDS[panel["type"]](inside, panel, answers, window)
        if panel["type"] == "timeseries":
            for at, colour in events:
                inside.axvline(_date(at), color=colour, linewidth=0.8, alpha=0.5)
    figure.savefig(path, dpi=100)


def _events(dashboard: dict[str, Any], prometheus: Prometheus, window: Window) -> list[tuple[float, str]]:
    """Return when each of the dashboard's annotations began, and its colour."""
    return [
        (one.points[0][0], NAMED[annotation["iconColor"]])
        for annotation in dashboard["annotations"]["list"]
        for one in prometheus.range(interpolate(annotation["expr"], window, {}), window)
        if one.points[0][0] > window.start
    ]


Answers = list[tuple[dict[str, Any], list[Series]]]


def _lines(axes: Axes, panel: dict[str, Any], answers: Answers, window: Window) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    fixed = {
        override["matcher"]["options"]: NAMED.get(item["value"]["fixedColor"], item["value"]["fixedColor"])
        for override in panel["fieldConfig"]["overrides"]
        for item in override["properties"]
        if item["id"] == "color"
    }
    found = [(series_name(target, one), one) for target, series in answers for one in series]
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    if not found:
        _empty(axes, "No data")
        return
    if stacked:
        times = sorted({at for _, one in found for at, _ in one.points})
        below = [0.0] * len(times)
        for at, (name, one) in enumerate(found):
            values = dict(one.points)
            top = [low + _number(values.get(moment, 0.0)) for low, moment in zip(below, times, strict=True)]
            colour = fixed.get(name, PALETTE[at % len(PALETTE)])
            axes.fill_between(_dates(times), below, top, color=colour, alpha=0.55, label=name, linewidth=0)
            below = top
    else:
        for at, (name, one) in enumerate(found):
            moments, values_ = _gaps(one, window.step)
            colour = fixed.get(name, PALETTE[at % len(PALETTE)])
            axes.plot(_dates(moments), values_, color=colour, label=name, linewidth=1.5)
    axes.set_ylim(bottom=0)
    if defaults.get("max") is not None:
        axes.set_ylim(top=defaults["max"])
    if all(value == 0 for _, one in found for _, value in one.points):
        axes.set_ylim(top=1)
    low, high = axes.get_ylim()
    for step in defaults.get("thresholds", {}).get("steps") or ():
        if step["value"] is not None and step["value"] <= high * 1.6:
            axes.axhline(step["value"], color=NAMED[step["color"]], linestyle="--", linewidth=1)
    axes.set_ylim(low, max(high, 1e-9))
    _time(axes, window)
    unit = defaults["unit"]
    ticks = mpl.ticker.MaxNLocator(4)
    base = 1024 ** max(0, int(math.log(max(axes.get_ylim()[1], 1), 1024))) if unit == "bytes" else 1
    axes.set_yticks([tick * base for tick in ticks.tick_values(0, axes.get_ylim()[1] / base)])
    axes.set_ylim(low, max(high, 1e-9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value, unit)))
    axes.tick_params(labelsize=7, colors=FAINT, length=0)
    axes.grid(color="#eaeef2", linewidth=0.8)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.1), fontsize=6.5, ncols=_columns(panel, [one[0] for one in found]),
        frameon=False, handlelength=1, columnspacing=1, borderaxespad=0,
    )  # fmt: skip


def _stat(axes: Axes, panel: dict[str, Any], answers: Answers, _window: Window) -> None:
    axes.set_axis_off()
    defaults = panel["fieldConfig"]["defaults"]
    found = [one for _, series in answers for one in series if one.points]
    if not found or math.isnan(found[0].points[-1][1]):
        _empty(axes, defaults.get("noValue") or "No data")
        return
    value = found[0].points[-1][1]
    names = {
        key: result["text"]
        for mapping in defaults.get("mappings") or ()
        for key, result in mapping["options"].items()
    }  # fmt: skip
    shown = names.get(f"{value:g}", text(value, defaults["unit"], defaults.get("decimals")))
    colour = _colour(defaults["thresholds"]["steps"], value)
    axes.text(0.5, 0.5, shown, size=19 if len(shown) < 9 else 12, weight="bold", color=colour, ha="center", va="center")


def _table(axes: Axes, panel: dict[str, Any], answers: Answers, _window: Window) -> None:
    axes.set_axis_off()
    organised = next(item["options"] for item in panel["transformations"] if item["id"] == "organize")
    places: dict[str, int] = organised["indexByName"]
    titles: dict[str, str] = dict(sorted(organised["renameByName"].items(), key=lambda item: places[item[0]]))
    defaults = panel["fieldConfig"]["defaults"]
    units = {
        override["matcher"]["options"]: item["value"]
        for override in panel["fieldConfig"]["overrides"]
        for item in override["properties"]
        if item["id"] == "unit"
    }
    merged: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for target, series in answers:
        field = f"Value #{target['refId']}" if len(answers) > 1 else "Value"
        for one in series:
            merged.setdefault(tuple(sorted(one.labels.items())), {})[field] = one.points[-1][1]
    order = [by["displayName"] for by in panel["options"].get("sortBy") or ()]
    sort = next((field for field, title in titles.items() if title in order), None)
    rows = sorted(merged.items(), key=lambda row: -_number(row[1].get(sort, 0.0)) if sort else 0)
    if not rows:
        _empty(axes, defaults.get("noValue") or "No data")
        return
    room = int(panel["gridPos"]["h"] * 1.35) - 2
    cells = [
        [
            dict(labels).get(field, "") if not field.startswith("Value")
            else text(values[field], units.get(title, defaults["unit"])) if field in values else ""
            for field, title in titles.items()
        ]
        for labels, values in rows[:room]
    ]  # fmt: skip
    widths = [
        max(len(title), *(len(line[at]) for line in cells)) + 2 for at, title in enumerate(titles.values())
    ]  # fmt: skip
    drawn = axes.table(
        cellText=cells, colLabels=list(titles.values()), loc="upper left", cellLoc="left", edges="horizontal",
        colWidths=[one / sum(widths) for one in widths],
    )  # fmt: skip
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(7.5)
    for (at, _), cell in drawn.get_celld().items():
        cell.set_height(1 / (room + 1))
        cell.get_text().set_horizontalalignment("left")
        cell.set_edgecolor("#eaeef2")
        cell.get_text().set_color(FAINT if at == 0 else INK)


def _states(axes: Axes, panel: dict[str, Any], answers: Answers, window: Window) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = [(series_name(target, one), one) for target, series in answers for one in series]
    if not found:
        axes.set_axis_off()
        _empty(axes, "No data")
        return
    for at, (_, one) in enumerate(found):
        for moment, value in one.points:
            colour = _colour(defaults["thresholds"]["steps"], value)
            axes.barh(at, window.step / 86400, left=_date(moment), height=0.7, color=colour, alpha=0.75)
    axes.set_yticks(range(len(found)), [name for name, _ in found], size=6.5)
    axes.invert_yaxis()
    _time(axes, window)
    axes.tick_params(labelsize=6.5, colors=FAINT, length=0)
    # Names are longer than numbers: move the bars to the right.
    box = axes.get_position()
    axes.set_position((box.x0 + 0.08, box.y0, box.width - 0.08, box.height))


def _heatmap(axes: Axes, panel: dict[str, Any], answers: Answers, window: Window) -> None:
    series = sorted((one for _, found in answers for one in found), key=lambda one: float(one.labels["le"]))
    if not series:
        axes.set_axis_off()
        _empty(axes, "No data")
        return
    times = sorted({at for one in series for at, _ in one.points})
    cumulative = [[_number(dict(one.points).get(at, 0.0)) for at in times] for one in series]
    counts = [cumulative[0]] + [
        [max(high - low, 0.0) for high, low in zip(upper, lower, strict=True)]
        for lower, upper in itertools.pairwise(cumulative)
    ]
    edges = [*_dates(times), _date(times[-1] + window.step)]
    axes.pcolormesh(edges, range(len(series) + 1), counts, cmap="Blues", norm=PowerNorm(0.5), shading="flat")
    unit = panel["options"]["yAxis"]["unit"]
    names = [text(float(one.labels["le"]), unit) for one in series]
    axes.set_yticks(range(1, len(series) + 1), names, size=6.5)
    _time(axes, window)
    axes.tick_params(labelsize=6.5, colors=FAINT, length=0)


KINDS: dict[str, Callable[[Axes, dict[str, Any], Answers, Window], None]] = {
    "timeseries": _lines,
    "stat": _stat,
    "table": _table,
    "state-timeline": _states,
    "heatmap": _heatmap,
}


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """Return ``value`` as Grafana would show it, in one of the units the dashboards use.

    Raises:
        KeyError: a unit no dashboard uses.

    """
    if math.isinf(value) or math.isnan(value):
        return "∞" if value > 0 else "-"
    if unit == "percentunit":
        return f"{value * 100:.{decimals}f} %" if decimals is not None else f"{value * 100:.4g} %"
    if unit == "s":
        steps = ((86400 * 7, 86400, "d"), (3600, 3600, "h"), (60, 60, "min"), (1, 1, "s"), (1e-3, 1e-3, "ms"))
        for least, one, name in steps:
            if abs(value) >= least:
                return f"{value / one:.3g} {name}"
        return f"{value * 1e6:.3g} µs" if value else "0 s"
    base, names = {
        "bytes": (1024, ("B", "KiB", "MiB", "GiB")),
        "short": (1000, ("", "K", "M", "G")),
        "reqps": (1000, ("req/s", "K req/s", "M req/s", "G req/s")),
        "ops": (1000, ("ops/s", "K ops/s", "M ops/s", "G ops/s")),
    }[unit]
    at = min(int(math.log(abs(value), base)), 3) if abs(value) >= base else 0
    return f"{value / base**at:.3g} {names[at]}".rstrip()


def series_name(target: dict[str, Any], one: Series) -> str:
    """Return a series' name in the legend; a label it does not have is nothing there."""
    name: str = target.get("legendFormat") or ",".join(one.labels.values())
    return re.sub(r"{{(\w+)}}", lambda label: one.labels.get(label[1], ""), name).strip()


def _colour(steps: list[dict[str, Any]], value: float) -> str:
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED[reached[-1]]


def _gaps(one: Series, step: int) -> tuple[list[float], list[float]]:
    moments: list[float] = []
    values: list[float] = []
    for at, value in one.points:
        if moments and at - moments[-1] > step:
            moments.append(moments[-1] + step)
            values.append(math.nan)
        moments.append(at)
        values.append(value)
    return moments, values


def _columns(panel: dict[str, Any], names: list[str]) -> int:
    return max(1, int(panel["gridPos"]["w"] * 9 / (max(map(len, names)) + 6)))


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _date(at: float) -> float:
    return at / 86400  # matplotlib counts days from the epoch


def _dates(times: Any) -> list[float]:
    return [_date(at) for at in times]


def _time(axes: Axes, window: Window) -> None:
    locator = AutoDateLocator(minticks=2, maxticks=5)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    axes.set_xlim(_date(window.start), _date(window.end))


def _empty(axes: Axes, says: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.55, says, size=10, color=FAINT, ha="center", va="center")


def main(url: str, directory: Path, minutes: float) -> None:
    """Draw every dashboard of the repository from the Prometheus at ``url`` over the last ``minutes``."""
    end = time.time()
    window = Window(end - minutes * 60, end, max(10, int(minutes * 60 / 300)))
    directory.mkdir(parents=True, exist_ok=True)
    for path in sorted((Path(__file__).resolve().parents[1] / "grafana/dashboards").glob("*.json")):
        draw(json.loads(path.read_text()), Prometheus(url), window, directory / f"{path.stem}.png")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 15)
