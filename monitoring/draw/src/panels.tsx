/** A panel's inside, by type: Grafana's components where its packages hold them. */
import {
  DataFrame,
  DisplayValue,
  FieldConfigSource,
  FieldType,
  GrafanaTheme2,
  TimeRange,
  VizOrientation,
  getFieldDisplayName,
  getFieldDisplayValues,
  getFieldSeriesColor,
  renderMarkdown,
} from '@grafana/data';
import { BarGaugeDisplayMode, VizLegendOptions } from '@grafana/schema';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import type uPlot from 'uplot';

import { Heatmap } from './heatmap';
import { StateTimeline } from './timeline';

/** Something that happened, drawn over graphs; milliseconds since the epoch. */
export interface Mark {
  from: number;
  to: number;
  color: string;
}

/** What a graph says of itself beyond the DOM. */
export interface Drawn {
  series: Array<{ name: string; color: string; last: number | null; max: number | null; dashed?: boolean }>;
  axis?: { min: number; max: number };
  /** Of a table, a row each: what stands in each column, its colour, and where it leads. */
  rows?: Array<Record<string, { text: string; color: string; links: string[] }>>;
}

export interface PanelProps {
  options: Record<string, any>;
  fieldConfig: FieldConfigSource;
  data: DataFrame[];
  width: number;
  height: number;
  theme: GrafanaTheme2;
  timeRange: TimeRange;
  marks: Mark[];
  drawn: Drawn;
  replaceVariables: (text: string) => string;
}

const HIGHEST_LEGEND = 0.35;

function Graph({ options, data, width, height, timeRange, marks, drawn, theme }: PanelProps) {
  drawn.series = [];
  for (const frame of data) {
    for (const field of frame.fields.filter((field) => field.type === FieldType.number)) {
      const numbers = field.values.filter((value) => Number.isFinite(value));
      drawn.series.push({
        name: getFieldDisplayName(field, frame, data),
        color: getFieldSeriesColor(field, theme).color,
        last: numbers.at(-1) ?? null,
        max: numbers.length ? Math.max(...numbers) : null,
        dashed: field.config.custom?.lineStyle?.fill === 'dash',
      });
      field.values = field.values.map((value) => (Number.isFinite(value) ? value : null));
    }
  }
  const draw = (u: uPlot) => {
    const { min, max } = u.scales[u.series[1]?.scale ?? ''] ?? {};
    drawn.axis = { min: min ?? NaN, max: max ?? NaN };
    for (const mark of marks) {
      const [from, to] = [u.valToPos(mark.from, 'x', true), u.valToPos(mark.to, 'x', true)];
      u.ctx.save();
      u.ctx.globalAlpha = 0.1;
      u.ctx.fillStyle = u.ctx.strokeStyle = mark.color;
      u.ctx.fillRect(from, u.bbox.top, to - from, u.bbox.height);
      u.ctx.globalAlpha = 0.8;
      u.ctx.setLineDash([4, 4]);
      u.ctx.beginPath();
      u.ctx.moveTo(from, u.bbox.top);
      u.ctx.lineTo(from, u.bbox.top + u.bbox.height);
      u.ctx.stroke();
      u.ctx.restore();
    }
  };
  return (
    <TimeSeries
      frames={data}
      structureRev={1}
      width={width}
      height={height}
      timeRange={timeRange}
      timeZone="utc"
      legend={{ maxHeight: `${HIGHEST_LEGEND * 100}%`, ...options.legend } as VizLegendOptions}
      options={options}
      renderers={[{ fieldMap: {}, indicesOnly: [], init: (builder) => builder.addHook('draw', draw) }]}
    />
  );
}

function values({ options, fieldConfig, data, theme, replaceVariables, drawn }: PanelProps) {
  const shown = getFieldDisplayValues({
    fieldConfig,
    reduceOptions: options.reduceOptions,
    replaceVariables,
    theme,
    data,
    timeZone: 'utc',
  }).map((found) => found.display);
  drawn.series = shown.map(({ title, color, numeric }) => ({
    name: title ?? '',
    color: color ?? '',
    last: Number.isFinite(numeric) ? numeric : null,
    max: null,
  }));
  return shown;
}

function Stat(props: PanelProps) {
  const { options, width, height, theme } = props;
  return (
    <VizRepeater<DisplayValue>
      source={props.data}
      renderCounter={0}
      width={width}
      height={height}
      autoGrid
      orientation={options.orientation ?? VizOrientation.Auto}
      getValues={() => values(props)}
      renderValue={({ value, width, height }) => (
        <BigValue
          value={value}
          width={width}
          height={height}
          theme={theme}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          text={options.text}
        />
      )}
    />
  );
}

function Bars(props: PanelProps) {
  const { options, width, height, theme, fieldConfig } = props;
  return (
    <VizRepeater<DisplayValue>
      source={props.data}
      renderCounter={0}
      width={width}
      height={height}
      orientation={options.orientation ?? VizOrientation.Horizontal}
      minVizHeight={options.minVizHeight ?? 16}
      maxVizHeight={options.maxVizHeight ?? 300}
      itemSpacing={10}
      getValues={() => values(props)}
      renderValue={({ value, width, height, orientation }) => (
        <BarGauge
          value={value}
          width={width}
          height={height}
          orientation={orientation}
          field={fieldConfig.defaults}
          theme={theme}
          displayMode={options.displayMode ?? BarGaugeDisplayMode.Gradient}
          valueDisplayMode={options.valueMode}
          showUnfilled={options.showUnfilled}
        />
      )}
    />
  );
}

function Table({ options, fieldConfig, data, width, height, timeRange, drawn }: PanelProps) {
  const frame = data[options.frameIndex ?? 0];
  drawn.rows = Array.from({ length: frame?.length ?? 0 }, (_, row) =>
    Object.fromEntries(
      (frame?.fields ?? []).map((field) => {
        const { text = '', color = '' } = field.display?.(field.values[row]) ?? {};
        const links = field.getLinks?.({ valueRowIndex: row }).map((link) => link.href) ?? [];
        return [getFieldDisplayName(field, frame, data), { text, color, links }];
      })
    )
  );
  if (!frame || frame.length === 0) {
    return <Nothing says={fieldConfig.defaults.noValue} />;
  }
  return (
    <TableNG
      data={frame}
      width={width}
      height={height}
      noHeader={!options.showHeader}
      initialSortBy={options.sortBy}
      cellHeight={options.cellHeight}
      fieldConfig={fieldConfig}
      timeRange={timeRange}
      structureRev={1}
      enableVirtualization={false}
    />
  );
}

function Text({ options, replaceVariables }: PanelProps) {
  const text = replaceVariables(options.content ?? '');
  return (
    <div
      className="markdown-html"
      dangerouslySetInnerHTML={{ __html: options.mode === 'html' ? text : renderMarkdown(text) }}
    />
  );
}

/** What stands in a panel without data. */
export function Nothing({ says }: { says?: string }) {
  return (
    <div className="nothing" data-nothing>
      {says || 'No data'}
    </div>
  );
}

export const PANELS: Record<string, (props: PanelProps) => React.ReactElement> = {
  timeseries: Graph,
  stat: Stat,
  bargauge: Bars,
  table: Table,
  text: Text,
  'state-timeline': StateTimeline,
  heatmap: Heatmap,
};
