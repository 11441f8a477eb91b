/** The page that a dashboard is drawn on; `window.draw` is called by draw.mjs. */
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import 'uplot/dist/uPlot.min.css';

import {
  DataFrame,
  DataTransformerConfig,
  FieldConfigSource,
  GrafanaTheme2,
  ScopedVars,
  ThemeContext,
  TimeRange,
  createTheme,
  dateTime,
  dateTimeFormat,
  getFieldDisplayName,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { Component, ReactNode } from 'react';
import { flushSync } from 'react-dom';
import { Root, createRoot } from 'react-dom/client';
import { firstValueFrom } from 'rxjs';

import { unreadable, written } from './faults';
import { configure } from './fields';
import { Drawn, Mark, Nothing, PANELS } from './panels';
import { Target, query } from './prometheus';
import { Chosen, Range, Variable, builtIn, choose, interpolate, step } from './variables';

const COLUMNS = 24;
const LINE = 30;
const MARGIN = 8;
const HEAD = 76;
/** How many samples of an annotation's query there are at most. */
const ANNOTATED = 100;

interface PanelModel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: Target[];
  options?: Record<string, unknown>;
  fieldConfig?: FieldConfigSource;
  transformations?: DataTransformerConfig[];
  interval?: string;
  collapsed?: boolean;
  panels?: PanelModel[];
}

interface Annotation {
  name: string;
  enable: boolean;
  iconColor: string;
  target?: Target;
  /** A series' values are the times, in milliseconds. */
  useValueForTime?: boolean;
}

interface Dashboard {
  title: string;
  panels: PanelModel[];
  templating?: { list: Variable[] };
  annotations?: { list: Annotation[] };
}

/** What draw.mjs asks for. */
export interface Wanted {
  dashboard: Dashboard;
  range: Range;
  variables: Record<string, string[]>;
  width: number;
  theme: 'light' | 'dark';
  /** Whether closed rows are drawn open. */
  open: boolean;
}

/** What became of one panel. */
export interface PanelReport extends Drawn {
  title: string;
  type: string;
  /** Nothing was found, by any of its queries. */
  empty: boolean;
  /** What it says instead of data; absent where it shows some. */
  says?: string;
  /** Its words, a line or a cell each. */
  text: string[];
  /** Where it leads. */
  links: string[];
  faults: string[];
}

export interface Report {
  faults: string[];
  marks: Mark[];
  panels: PanelReport[];
  height: number;
}

interface Ready {
  model: PanelModel;
  data: DataFrame[];
  fieldConfig: FieldConfigSource;
  report: PanelReport;
  replace: (text: string, scoped?: ScopedVars) => string;
}

standardTransformersRegistry.setInit(() =>
  // Some are there under two names.
  [...new Map(Object.values(standardTransformers).map((one) => [one.id, one]))].map(([id, transformation]) => ({
    id,
    name: transformation.name,
    transformation,
    editor: () => null,
    imageDark: '',
    imageLight: '',
  }))
);

class Guard extends Component<{ fault: (text: string) => void; children: ReactNode }> {
  state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  componentDidCatch(error: Error) {
    this.props.fault(`cannot be drawn: ${error.message}`);
  }
  render() {
    return this.state.failed ? null : this.props.children;
  }
}

/** Returns rows and panels in their places, and how many lines they take. */
function layOut(panels: PanelModel[], open: boolean): { placed: PanelModel[]; lines: number } {
  const placed: PanelModel[] = [];
  let moved = 0;
  const down = (panel: PanelModel) => ({ ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y + moved } });
  for (const panel of panels) {
    placed.push(down(panel));
    if (panel.collapsed && open && panel.panels?.length) {
      placed.push(...panel.panels.map(down));
      moved += Math.max(...panel.panels.map((one) => one.gridPos.y + one.gridPos.h)) - panel.gridPos.y - 1;
    }
  }
  return { placed, lines: Math.max(...placed.map((panel) => panel.gridPos.y + panel.gridPos.h)) };
}

/** Returns a link's text with what it says of its cell and of the time range. */
function ofCell(text: string, range: Range, scoped?: ScopedVars): string {
  const { field, frame, rowIndex } = scoped?.__dataContext?.value ?? {};
  const found = (path: string): unknown => {
    const [, labels, name = ''] = /^__(?:value\.raw|(field\.labels|data\.fields)\.(\w+))$/.exec(path) ?? [];
    if (labels === 'field.labels') {
      return field?.labels?.[name];
    }
    const of = labels ? frame?.fields.find((one) => getFieldDisplayName(one, frame) === name) : field;
    return of?.values[rowIndex ?? -1];
  };
  return text
    .replace('${__url_time_range}', `from=${range.from}&to=${range.to}`)
    .replace(/\$\{(__(?:value|field|data)[.\w]*)(:percentencode)?\}/g, (mark, path, encoded) => {
      const value = found(path);
      return value === undefined ? mark : encoded ? encodeURIComponent(`${value}`) : `${value}`;
    });
}

async function prepare(model: PanelModel, wanted: Wanted, chosen: Chosen, theme: GrafanaTheme2): Promise<Ready> {
  const { range, width } = wanted;
  const interval = step(range, (model.gridPos.w * width) / COLUMNS, model.interval);
  const faults: string[] = [];
  const replace = (text: string, scoped?: ScopedVars) =>
    interpolate(ofCell(text, range, scoped), chosen, builtIn(range, interval), (name) =>
      faults.push(`unknown variable $${name}`)
    );
  const targets = model.targets ?? [];
  let data: DataFrame[] = [];
  for (const target of targets) {
    try {
      data.push(...(await query({ ...target, expr: replace(target.expr) }, range, interval, targets.length > 1)));
    } catch (error) {
      faults.push(`query ${target.refId}: ${(error as Error).message}`);
    }
  }
  const fieldConfig = model.fieldConfig ?? { defaults: {}, overrides: [] };
  faults.push(...written(model.type, fieldConfig, model.transformations ?? [], theme));
  const known = (model.transformations ?? []).filter(({ id }) => standardTransformersRegistry.getIfExists(id));
  data = await firstValueFrom(transformDataFrame(known, data, { interpolate: replace }));
  const empty = data.every((frame) =>
    frame.fields.every((field) => field.type === 'time' || field.values.every((v) => v === null || Number.isNaN(v)))
  );
  const says = empty && model.type !== 'text' ? (fieldConfig.defaults.noValue ?? 'No data') : undefined;
  if (says === 'No data') {
    faults.push('No data');
  }
  if (!PANELS[model.type] && model.type !== 'row') {
    faults.push(`unknown type ${model.type}`);
  }
  return {
    model,
    ...configure(model.type, data, fieldConfig, theme, replace),
    report: { title: replace(model.title), type: model.type, empty, says, text: [], links: [], faults, series: [] },
    replace,
  };
}

/** Returns the marks of an annotation: from a series' sample to its last without a gap between. */
async function happened(annotation: Annotation, range: Range, chosen: Chosen, theme: GrafanaTheme2): Promise<Mark[]> {
  const { target } = annotation;
  if (!target?.expr || !target.refId) {
    throw new Error(`annotation ${annotation.name}: no target with expr and refId`);
  }
  const interval = step(range, ANNOTATED, target.interval);
  const expr = interpolate(target.expr, chosen, builtIn(range, interval), (name) => {
    throw new Error(`annotation ${annotation.name}: unknown variable $${name}`);
  });
  const color = theme.visualization.getColorByName(annotation.iconColor);
  const marks: Mark[] = [];
  for (const frame of await query({ ...target, expr }, range, interval, false)) {
    const [times, values] = frame.fields.map((field) => field.values);
    if (annotation.useValueForTime) {
      marks.push(...[...new Set<number>(values)].filter((at) => at > range.from).map((at) => ({ from: at, to: at, color })));
      continue;
    }
    times?.forEach((at, i) => {
      const last = marks.at(-1);
      if (values?.[i] && i > 0 && values[i - 1] !== null && last) {
        last.to = at;
      } else if (values?.[i]) {
        marks.push({ from: at, to: at, color });
      }
    });
  }
  return marks;
}

function Board({ wanted, ready, marks, chosen, theme, timeRange, lines }: {
  wanted: Wanted; ready: Ready[]; marks: Mark[]; chosen: Chosen; theme: GrafanaTheme2; timeRange: TimeRange; lines: number;
}) {
  const { dashboard, range, width } = wanted;
  const column = (width - MARGIN) / COLUMNS;
  const moment = (at: number) => dateTimeFormat(at, { format: 'YYYY-MM-DD HH:mm', timeZone: 'utc' });
  const pickers = (dashboard.templating?.list ?? []).filter((variable) => !variable.hide);
  return (
    <div style={{ position: 'relative', width, height: HEAD + lines * (LINE + MARGIN) + MARGIN }}>
      <div className="head">
        <strong>{dashboard.title}</strong>
        <span>{`${moment(range.from)} to ${moment(range.to)} UTC`}</span>
      </div>
      <div className="pickers">
        {pickers.map(({ name, label }) => {
          const value = chosen.get(name);
          const all = !wanted.variables[name] && dashboard.templating?.list.find((v) => v.name === name)?.includeAll;
          return (
            <span key={name} className="picker">
              <b>{label ?? name}</b> {all ? 'All' : value?.values.join(' + ')}
            </span>
          );
        })}
      </div>
      {ready.map(({ model, data, fieldConfig, report, replace }) => {
        const { x, y, w, h } = model.gridPos;
        const place = {
          position: 'absolute' as const,
          left: MARGIN + x * column,
          top: HEAD + y * (LINE + MARGIN),
          width: w * column - MARGIN,
          height: h * (LINE + MARGIN) - MARGIN,
        };
        if (model.type === 'row') {
          return (
            <div key={model.id} className="row" style={place}>
              <span className="arrow" style={model.collapsed && !wanted.open ? { rotate: '-45deg' } : undefined} />
              {report.title}
              {model.collapsed && !wanted.open && <i>{`(${model.panels?.length ?? 0} panels)`}</i>}
            </div>
          );
        }
        const Inside = PANELS[model.type];
        const own = ['stat', 'bargauge', 'text', 'table'].includes(model.type); // say themselves that there is nothing
        return (
          <div key={model.id} data-panel={model.id} style={place}>
            <PanelChrome title={report.title} description={model.description} width={place.width} height={place.height}>
              {(width, height) => (
                <Guard fault={(text) => report.faults.push(text)}>
                  {Inside && (!report.empty || own) ? (
                    <Inside
                      options={model.options ?? {}}
                      replaceVariables={replace}
                      drawn={report}
                      {...{ data, fieldConfig, width, height, theme, timeRange, marks }}
                    />
                  ) : (
                    <Nothing says={fieldConfig.defaults.noValue} />
                  )}
                </Guard>
              )}
            </PanelChrome>
          </div>
        );
      })}
    </div>
  );
}

const STYLE = (theme: GrafanaTheme2) => `
  body { margin: 0; overflow: hidden; background: ${theme.colors.background.canvas}; }
  .head { position: absolute; top: 12px; left: ${MARGIN}px; right: ${MARGIN}px; display: flex; justify-content: space-between;
    font-size: 18px; color: ${theme.colors.text.primary}; }
  .head span { font-size: 13px; color: ${theme.colors.text.secondary}; }
  .pickers { position: absolute; top: 42px; left: ${MARGIN}px; display: flex; gap: 8px; font-size: 12px; }
  .picker { padding: 3px 8px; border: 1px solid ${theme.colors.border.medium}; border-radius: 2px; }
  .row { display: flex; align-items: center; gap: 6px; line-height: ${LINE}px; font-size: 15px; font-weight: 500; color: ${theme.colors.text.primary}; }
  .arrow { width: 6px; height: 6px; margin: 0 4px 2px 2px; rotate: 45deg;
    border: solid currentColor; border-width: 0 1.5px 1.5px 0; }
  .row i { color: ${theme.colors.text.secondary}; font-size: 12px; }
  .nothing { height: 100%; display: flex; align-items: center; justify-content: center;
    font-size: 18px; color: ${theme.colors.text.secondary}; }
  .timeline-name { display: inline-block; text-align: right; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .bucket-name { position: absolute; text-align: right; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
`;

/** The dashboard drawn before this one. */
let before: Root | undefined;

const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

async function draw(wanted: Wanted): Promise<Report> {
  const theme = createTheme({ colors: { mode: wanted.theme } });
  const faults: string[] = [];
  const { dashboard, range } = wanted;
  const chosen = await choose(dashboard.templating?.list ?? [], wanted.variables, range, (text) => faults.push(text));
  const marks: Mark[] = [];
  for (const annotation of (dashboard.annotations?.list ?? []).filter((one) => one.enable)) {
    try {
      marks.push(...(await happened(annotation, range, chosen, theme)));
    } catch (error) {
      faults.push((error as Error).message);
    }
  }
  const { placed, lines } = layOut(dashboard.panels, wanted.open);
  const ready = await Promise.all(placed.map((model) => prepare(model, wanted, chosen, theme)));
  const [from, to] = [dateTime(range.from), dateTime(range.to)];
  const timeRange = { from, to, raw: { from, to } };

  before?.unmount();
  const root = document.createElement('div');
  document.body.replaceChildren(root);
  before = createRoot(root);
  flushSync(() =>
    before?.render(
      <ThemeContext.Provider value={theme}>
        <GlobalStyles />
        <style>{STYLE(theme)}</style>
        <Board {...{ wanted, ready, marks, chosen, theme, timeRange, lines }} />
      </ThemeContext.Provider>
    )
  );
  await document.fonts.ready;
  for (let settled = 0, last = ''; settled < 5; ) {
    await frame();
    const now = root.innerHTML;
    settled = now === last ? settled + 1 : 0;
    last = now;
  }
  const panels = ready.filter(({ model }) => model.type !== 'row');
  for (const { model, data, report } of panels) {
    const element = root.querySelector<HTMLElement>(`[data-panel="${model.id}"]`);
    if (element) {
      report.text = element.innerText.split(/[\n\t]/).filter((word) => word.trim());
      report.links = data.flatMap((frame) =>
        frame.fields.flatMap((field) =>
          (field.getLinks ? field.values : []).flatMap((_, row) =>
            field.getLinks!({ valueRowIndex: row }).map((link) => link.href)
          )
        )
      );
      report.faults.push(...unreadable(element));
    }
    const names = new Set(report.series.map((one) => one.name));
    if (names.size < report.series.length) {
      report.faults.push(`two series of one name`);
    }
  }
  return { faults, marks, panels: panels.map(({ report }) => report), height: root.scrollHeight };
}

declare global {
  interface Window {
    draw: typeof draw;
  }
}
window.draw = draw;
