/** A state timeline. Grafana's own is not among its packages: colours, words and names are, the bars are ours. */
import { FieldType, formattedValueToString, getFieldDisplayName } from '@grafana/data';

import { PanelProps } from './panels';
import { Times } from './times';

const AXIS = 22;

/** Draws a row of coloured bars for each series; equal neighbours are one bar. */
export function StateTimeline({ data, width, height, timeRange, theme, drawn }: PanelProps) {
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const rows = data.flatMap((frame) =>
    frame.fields
      .filter((field) => field.type === FieldType.number)
      .map((field) => {
        const times = frame.fields[0]?.values ?? [];
        const interval = frame.fields[0]?.config.interval ?? 0;
        const bars: Array<{ from: number; to: number; color: string; text: string }> = [];
        field.values.forEach((value, i) => {
          if (value === null) {
            return;
          }
          const shown = field.display!(value);
          const bar = { from: times[i], to: times[i] + interval, color: shown.color!, text: formattedValueToString(shown) };
          const last = bars.at(-1);
          if (last && last.to >= bar.from && last.text === bar.text && last.color === bar.color) {
            last.to = bar.to;
          } else {
            bars.push(bar);
          }
        });
        return { name: getFieldDisplayName(field, frame, data), bars, last: field.values.at(-1) };
      })
  );
  drawn.series = rows.map(({ name, bars, last }) => ({ name, color: bars.at(-1)?.color ?? '', last, max: null }));
  const names = Math.min(width * 0.4, Math.max(...rows.map((row) => row.name.length)) * 6.5 + 12);
  const line = (height - AXIS) / Math.max(rows.length, 1);
  const x = (at: number) => ((Math.min(Math.max(at, from), to) - from) / (to - from)) * (width - names);
  return (
    <div style={{ position: 'relative', width, height, fontSize: 12 }}>
      {rows.map((row, i) => (
        <div key={row.name + i} style={{ position: 'absolute', top: i * line, height: line, width }}>
          <span className="timeline-name" style={{ width: names - 8, lineHeight: `${line}px` }}>
            {row.name}
          </span>
          {row.bars.map((bar) => (
            <span
              key={bar.from}
              title={bar.text}
              style={{
                position: 'absolute',
                left: names + x(bar.from),
                width: Math.max(x(bar.to) - x(bar.from), 1),
                top: line * 0.1,
                height: line * 0.8,
                background: bar.color,
                opacity: 0.8,
              }}
            />
          ))}
        </div>
      ))}
      <Times from={from} to={to} left={names} top={height - AXIS} width={width - names} color={theme.colors.text.secondary} />
    </div>
  );
}
