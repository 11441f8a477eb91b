/** What stands for `$name`, `${name}` and `${name:format}` in queries, titles and links. */
import { escapeRegex, rangeUtil } from '@grafana/data';

import { ask } from './prometheus';

/** A dashboard's variable as its JSON holds it, as far as it is used here. */
export interface Variable {
  name: string;
  type: string;
  label?: string;
  hide?: number;
  multi?: boolean;
  allValue?: string;
  includeAll?: boolean;
  definition?: string;
  query?: string | { query?: string };
  current?: { value?: string | string[] };
}

/** The time range looked at, in milliseconds since the epoch. */
export interface Range {
  from: number;
  to: number;
}

/** What a variable stands for: its chosen values, or the pattern that is "All". */
export type Chosen = Map<string, { values: string[]; all?: string; multi: boolean }>;

const MARK = /\$(?:\{(\w+)(?::(\w+))?\}|(\w+))|\[\[(\w+)\]\]/g;
const LABEL_VALUES = /^label_values\((?:(.+),\s*)?(\w+)\)$/;

/** The scrape interval that the data source is provisioned with, in milliseconds. */
export const SCRAPE_INTERVAL = 10_000;

/** How far samples of a range query are apart, in milliseconds, as Grafana chooses it for a panel's width in pixels. */
export function step(range: Range, width: number, least?: string): number {
  const lowest = least ? rangeUtil.intervalToMs(least) : SCRAPE_INTERVAL;
  return Math.max(rangeUtil.roundInterval((range.to - range.from) / width), lowest);
}

/** Grafana's own variables at one resolution. */
export function builtIn(range: Range, interval: number): Record<string, string> {
  const seconds = Math.round((range.to - range.from) / 1000);
  return {
    __interval: `${interval / 1000}s`,
    __interval_ms: `${interval}`,
    // At least four scrapes, so that a rate survives a missed one.
    __rate_interval: `${Math.max(interval + SCRAPE_INTERVAL, 4 * SCRAPE_INTERVAL) / 1000}s`,
    __range: `${seconds}s`,
    __range_s: `${seconds}`,
    __range_ms: `${range.to - range.from}`,
    __from: `${range.from}`,
    __to: `${range.to}`,
  };
}

/** Returns `text` with every variable replaced; `missing` is told of those that are not there. */
export function interpolate(
  text: string,
  chosen: Chosen,
  own: Record<string, string>,
  missing: (name: string) => void
): string {
  return text.replace(MARK, (mark, braced, format, plain, bracketed) => {
    const name: string = braced ?? plain ?? bracketed;
    if (name in own) {
      return own[name] ?? '';
    }
    const variable = chosen.get(name);
    if (!variable) {
      if (!/^\d/.test(name) && !name.startsWith('__')) {
        missing(name); // $1 is a group of label_replace's pattern; __value and the like are a link's
      }
      return mark;
    }
    if (format === 'queryparam') {
      const values = variable.all === undefined ? variable.values : ['$__all'];
      return values.map((value) => `var-${name}=${encodeURIComponent(value)}`).join('&');
    }
    if (variable.all) {
      return variable.all;
    }
    if (!variable.multi || format === 'raw') {
      return variable.values.join(',');
    }
    const escaped = variable.values.map((value) => escapeRegex(value).replace(/\\/g, '\\\\'));
    return escaped.length === 1 ? (escaped[0] ?? '') : `(${escaped.join('|')})`;
  });
}

/** Returns what each variable stands for, in their order; `wanted` are values chosen by whoever draws. */
export async function choose(
  variables: Variable[],
  wanted: Record<string, string[]>,
  range: Range,
  fault: (text: string) => void
): Promise<Chosen> {
  const chosen: Chosen = new Map();
  for (const variable of variables) {
    const { name, type } = variable;
    const fixed = type === 'constant' && typeof variable.query === 'string' ? variable.query : [];
    const current = [variable.current?.value ?? fixed].flat();
    let offered: string[] = [];
    if (type === 'query') {
      offered = await labelValues(variable, chosen, range, fault);
      if (offered.length === 0) {
        fault(`variable ${name}: it offers no value`);
      }
    } else if (!['datasource', 'custom', 'constant', 'textbox', 'interval'].includes(type)) {
      fault(`variable ${name}: unknown type ${type}`);
    }
    const all = !wanted[name] && current.includes('$__all');
    chosen.set(name, {
      values: wanted[name] ?? (all ? offered : current),
      all: all ? variable.allValue || undefined : undefined,
      multi: Boolean(variable.multi),
    });
  }
  return chosen;
}

async function labelValues(
  variable: Variable,
  chosen: Chosen,
  range: Range,
  fault: (text: string) => void
): Promise<string[]> {
  const query = typeof variable.query === 'object' ? variable.query.query : variable.query;
  const parts = LABEL_VALUES.exec(query ?? '');
  if (!parts) {
    fault(`variable ${variable.name}: ${query} is not label_values(selector, label)`);
    return [];
  }
  const selector = interpolate(parts[1] ?? '', chosen, builtIn(range, SCRAPE_INTERVAL), (name) =>
    fault(`variable ${variable.name}: unknown variable $${name}`)
  );
  const asked: Record<string, string> = { start: `${range.from / 1000}`, end: `${range.to / 1000}` };
  return ask<string[]>(`label/${parts[2]}/values`, selector ? { ...asked, 'match[]': selector } : asked);
}
