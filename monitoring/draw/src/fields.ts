/** Field settings: which there are, what they default to, and how they reach the frames. */
import {
  DataFrame,
  FieldConfigOptionsRegistry,
  FieldConfigSource,
  GrafanaTheme2,
  InterpolateFunction,
  Threshold,
  applyFieldOverrides,
  cacheFieldDisplayNames,
  identityOverrideProcessor,
} from '@grafana/data';
import { GraphFieldConfig, TableFieldOptions } from '@grafana/schema';

const STANDARD = [
  'unit', 'decimals', 'min', 'max', 'displayName', 'noValue', 'color', 'thresholds', 'mappings', 'links', 'filterable',
  'description', 'fieldMinMax',
]; // prettier-ignore

const GRAPH: Array<keyof GraphFieldConfig> = [
  'drawStyle', 'lineInterpolation', 'lineWidth', 'lineStyle', 'lineColor', 'fillOpacity', 'fillColor', 'fillBelowTo',
  'gradientMode', 'showPoints', 'pointSize', 'pointColor', 'pointSymbol', 'spanNulls', 'barAlignment', 'barWidthFactor',
  'barMaxWidth', 'axisPlacement', 'axisLabel', 'axisColorMode', 'axisSoftMin', 'axisSoftMax', 'axisWidth', 'axisGridShow',
  'axisBorderShow', 'axisCenteredZero', 'scaleDistribution', 'stacking', 'thresholdsStyle', 'hideFrom', 'transform',
  'insertNulls', 'showValues',
]; // prettier-ignore

const TABLE: Array<keyof TableFieldOptions> = [
  'width', 'minWidth', 'align', 'cellOptions', 'filterable', 'hideHeader', 'inspect', 'wrapHeaderText', 'hideFrom',
  'tooltip', 'footer',
]; // prettier-ignore

const CUSTOM: Record<string, string[]> = {
  timeseries: GRAPH,
  table: TABLE,
  'state-timeline': ['lineWidth', 'fillOpacity', 'hideFrom'],
  heatmap: ['scaleDistribution', 'hideFrom'],
};

const DEFAULTS: Record<string, { color: string; custom: Record<string, unknown> }> = {
  timeseries: {
    color: 'palette-classic',
    custom: {
      drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none',
      showPoints: 'auto', pointSize: 5, spanNulls: false, axisPlacement: 'auto', axisColorMode: 'text',
      scaleDistribution: { type: 'linear' }, stacking: { mode: 'none', group: 'A' }, thresholdsStyle: { mode: 'off' },
    },
  },
  table: { color: 'thresholds', custom: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false } },
}; // prettier-ignore

/** Returns the ids of settings that a panel of this type has. */
export function settings(type: string): Set<string> {
  return new Set([...STANDARD, ...(CUSTOM[type] ?? []).map((name) => `custom.${name}`)]);
}

/** The first step is from the lowest value on, which JSON cannot say. */
function restoreLowest(steps: Threshold[]) {
  for (const step of steps) {
    step.value ??= -Infinity;
  }
}

/** Returns the frames with defaults, settings and overrides applied. */
export function configure(
  type: string,
  data: DataFrame[],
  fieldConfig: FieldConfigSource,
  theme: GrafanaTheme2,
  replaceVariables: InterpolateFunction
): { data: DataFrame[]; fieldConfig: FieldConfigSource } {
  restoreLowest(fieldConfig.defaults.thresholds?.steps ?? []);
  fieldConfig.overrides.forEach(({ properties }) =>
    properties.forEach(({ id, value }) => restoreLowest(id === 'thresholds' ? value.steps : []))
  );
  const own = DEFAULTS[type] ?? { color: 'thresholds', custom: {} };
  const source: FieldConfigSource = {
    overrides: fieldConfig.overrides,
    defaults: {
      color: { mode: own.color },
      ...fieldConfig.defaults,
      custom: { ...own.custom, ...fieldConfig.defaults.custom },
    },
  };
  const registry = new FieldConfigOptionsRegistry(() =>
    [...settings(type)].map((id) => ({
      id,
      path: id.replace(/^custom\./, ''),
      name: id,
      isCustom: id.startsWith('custom.'),
      editor: () => null,
      override: () => null,
      process: identityOverrideProcessor,
      shouldApply: () => true,
    }))
  );
  const configured = applyFieldOverrides({
    data,
    fieldConfig: source,
    fieldConfigRegistry: registry,
    replaceVariables,
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(configured);
  return { fieldConfig: source, data: configured };
}
