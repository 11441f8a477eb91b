/** A heat map of buckets. Grafana's own is not among its packages: units and colours are, the cells are ours. */
import { colorManipulator, formattedValueToString, getValueFormat } from '@grafana/data';

import { PanelProps } from './panels';
import { Times } from './times';

const NAMES = 64;
const AXIS = 22;

/** Draws a cell for each bucket and step, the fuller the brighter. */
export function Heatmap({ options, data, width, height, timeRange, theme, drawn }: PanelProps) {
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const format = getValueFormat(options.yAxis?.unit ?? 'short');
  const color = theme.visualization.getColorByName('blue');
  const most = Math.max(0, ...data.flatMap((frame) => frame.fields[1]?.values.filter(Number.isFinite) ?? []));
  const line = (height - AXIS) / Math.max(data.length, 1);
  const x = (at: number) => ((at - from) / (to - from)) * (width - NAMES);
  const every = Math.ceil(16 / line);
  drawn.series = [];
  return (
    <div style={{ position: 'relative', width, height, fontSize: 12 }}>
      {data.map((frame, i) => {
        const le = frame.fields[1]?.labels?.le ?? '';
        const name = le === '+Inf' ? '∞' : formattedValueToString(format(Number(le)));
        const counts: Array<number | null> = frame.fields[1]?.values ?? [];
        const interval = frame.fields[0]?.config.interval ?? 0;
        const top = (data.length - 1 - i) * line;
        drawn.series.push({ name, color, last: counts.at(-1) ?? null, max: null });
        return (
          <div key={le}>
            {i % every === 0 && (
              <span className="bucket-name" style={{ top: top + line / 2 - 9, width: NAMES - 8 }}>
                {name}
              </span>
            )}
            {counts.map((count, j) => {
              const at: number = frame.fields[0]?.values[j];
              const left = Math.max(0, x(at - interval));
              const right = Math.min(width - NAMES, x(at));
              return count && count > 0 && right > left ? (
                <span
                  key={at}
                  style={{
                    position: 'absolute',
                    left: NAMES + left,
                    width: right - left + 0.3,
                    top,
                    height: line - 1,
                    background: colorManipulator.alpha(color, 0.15 + 0.85 * (count / most) ** (options.color?.exponent ?? 0.5)),
                  }}
                />
              ) : null;
            })}
          </div>
        );
      })}
      <Times from={from} to={to} left={NAMES} top={height - AXIS} width={width - NAMES} color={theme.colors.text.secondary} />
    </div>
  );
}
