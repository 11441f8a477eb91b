/** A time axis below what is not drawn by Grafana's own graph. */
import { dateTimeFormat } from '@grafana/data';

interface Props {
  from: number;
  to: number;
  left: number;
  top: number;
  width: number;
  color: string;
}

/** Draws about one label for each 120 pixels. */
export function Times({ from, to, left, top, width, color }: Props) {
  const steps = Math.max(1, Math.floor(width / 120));
  const format = to - from > 36 * 3600_000 ? 'MM/DD' : 'HH:mm';
  return (
    <>
      {Array.from({ length: steps }, (_, i) => (
        <span key={i} style={{ position: 'absolute', left: left + ((i + 0.5) / steps) * width - 16, top, color, fontSize: 12 }}>
          {dateTimeFormat(from + ((i + 0.5) / steps) * (to - from), { format, timeZone: 'utc' })}
        </span>
      ))}
    </>
  );
}
