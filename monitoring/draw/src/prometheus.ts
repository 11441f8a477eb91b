/** Asks Prometheus' HTTP API and makes data frames of its answers, as Grafana's data source does. */
import { DataFrame, FieldType, createDataFrame, renderLegendFormat } from '@grafana/data';

import { Range } from './variables';

declare global {
  interface Window {
    /** Asks the Prometheus that was named on the command line; the browser itself reaches nothing. */
    askPrometheus(path: string, parameters: Record<string, string>): Promise<{ data?: unknown; error?: string }>;
  }
}

/** A query of a panel or an annotation as the dashboard's JSON holds it. */
export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: string;
  instant?: boolean;
  range?: boolean;
  interval?: string;
}

interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: Array<[number, string]>;
}

/** Returns the `data` of Prometheus' answer; throws with its own words when it refuses. */
export async function ask<T>(path: string, parameters: Record<string, string>): Promise<T> {
  const answer = await window.askPrometheus(path, parameters);
  if (answer.error !== undefined) {
    throw new Error(answer.error);
  }
  return answer.data as T;
}

/** Returns the frames of `target`, whose expression is interpolated already; `step` is in milliseconds. */
export async function query(target: Target, range: Range, step: number, many: boolean): Promise<DataFrame[]> {
  const asked: Record<string, string> = target.instant
    ? { query: target.expr, time: `${range.to / 1000}` }
    : {
        query: target.expr,
        start: `${(Math.floor(range.from / step) * step) / 1000}`,
        end: `${(Math.floor(range.to / step) * step) / 1000}`,
        step: `${step / 1000}`,
      };
  const { resultType, result } = await ask<{ resultType: string; result: unknown }>(
    target.instant ? 'query' : 'query_range',
    asked
  );
  const series =
    resultType === 'scalar' ? [{ metric: {}, value: result as [number, string] }] : (result as Series[]);
  if (target.format === 'table') {
    return table(target.refId, series, many);
  }
  const frames = series.map((one) => timeSeries(target, one, step));
  return target.format === 'heatmap' ? buckets(frames) : frames;
}

function timeSeries(target: Target, { metric, value, values }: Series, step: number): DataFrame {
  const times: number[] = [];
  const numbers: Array<number | null> = [];
  for (const [at, text] of values ?? (value ? [value] : [])) {
    const last = times.at(-1);
    if (last !== undefined && at * 1000 - last > step) {
      times.push(last + step); // no line is drawn across a gap
      numbers.push(null);
    }
    times.push(at * 1000);
    numbers.push(number(text));
  }
  const labels = Object.fromEntries(Object.entries(metric).filter(([name]) => name !== '__name__'));
  const name = target.legendFormat
    ? renderLegendFormat(target.legendFormat.replace(/{{\s*(\w+)\s*}}/g, (m, l) => (l in metric ? m : '')), metric)
    : (metric.__name__ ?? '') + (Object.keys(labels).length ? JSON.stringify(labels) : '') || target.expr;
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: times, config: { interval: step } },
      {
        name: 'Value',
        type: FieldType.number,
        values: numbers,
        labels: target.format === 'heatmap' ? metric : labels,
        config: { displayNameFromDS: name.trim() },
      },
    ],
  });
}

function table(refId: string, series: Series[], many: boolean): DataFrame[] {
  if (series.length === 0) {
    return [];
  }
  const names = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  const last = series.map((one) => one.value ?? one.values?.at(-1));
  return [
    createDataFrame({
      refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: last.map((point) => (point ? point[0] * 1000 : null)) },
        ...names.map((name) => ({
          name,
          type: FieldType.string,
          config: { filterable: true },
          values: series.map((one) => one.metric[name] ?? ''),
        })),
        {
          name: many ? `Value #${refId}` : 'Value',
          type: FieldType.number,
          values: last.map((point) => (point ? number(point[1]) : null)),
        },
      ],
    }),
  ];
}

/** Makes each bucket's own count of cumulative ones, lowest bound first. */
function buckets(frames: DataFrame[]): DataFrame[] {
  const bound = (frame: DataFrame) => number(frame.fields[1]?.labels?.le ?? 'NaN') ?? NaN;
  const sorted = [...frames].sort((a, b) => bound(a) - bound(b));
  const at = sorted.map((frame) => new Map(frame.fields[0]?.values.map((t, i) => [t, frame.fields[1]?.values[i]])));
  return sorted.map((frame, i) => ({
    ...frame,
    fields: frame.fields.map((field) =>
      field.type !== FieldType.number
        ? field
        : {
            ...field,
            values: field.values.map((count: number | null, j: number) =>
              count === null ? null : Math.max(0, count - (at[i - 1]?.get(frame.fields[0]?.values[j]) ?? 0))
            ),
          }
    ),
  }));
}

function number(text: string): number | null {
  if (text === '+Inf') {
    return Infinity;
  }
  return text === '-Inf' ? -Infinity : text === 'NaN' ? NaN : Number(text);
}
