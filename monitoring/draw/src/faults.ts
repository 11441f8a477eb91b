/** What is wrong with a panel, as its JSON stands and as it was drawn. */
import { DynamicConfigValue, FieldConfigSource, GrafanaTheme2, getValueFormats, standardTransformersRegistry } from '@grafana/data';

import { settings } from './fields';

const UNITS = new Set(getValueFormats().flatMap((group) => group.submenu.map((unit) => unit.value)));
const PREFIXES = /^(suffix|prefix|time|si|count|currency|bool):/;
const LEAST_FONT = 11;

/** Returns the faults of settings that Grafana would pass over in silence. */
export function written(
  type: string,
  fieldConfig: FieldConfigSource,
  transformations: Array<{ id: string }>,
  theme: GrafanaTheme2
): string[] {
  const known = settings(type);
  const faults: string[] = [];
  const unit = (name: unknown) => {
    if (typeof name === 'string' && !UNITS.has(name) && !PREFIXES.test(name)) {
      faults.push(`unknown unit ${name}`);
    }
  };
  const colour = (name: unknown) => {
    if (typeof name === 'string' && !CSS.supports('color', theme.visualization.getColorByName(name))) {
      faults.push(`unknown colour ${name}`);
    }
  };
  const { defaults, overrides } = fieldConfig;
  const properties: DynamicConfigValue[] = [
    ...Object.entries(defaults).filter(([id]) => id !== 'custom').map(([id, value]) => ({ id, value })),
    ...Object.entries(defaults.custom ?? {}).map(([id, value]) => ({ id: `custom.${id}`, value })),
    ...overrides.flatMap((override) => override.properties),
  ]; // prettier-ignore
  for (const { id, value } of properties) {
    if (!known.has(id)) {
      faults.push(`unknown setting ${id}`);
    }
    if (id === 'unit') {
      unit(value);
    } else if (id === 'color') {
      colour(value?.fixedColor);
    } else if (id === 'thresholds') {
      value.steps.forEach((step: { color: string }) => colour(step.color));
    } else if (id === 'mappings') {
      JSON.stringify(value, (key, inner) => (key === 'color' && colour(inner), inner));
    }
  }
  for (const { id } of transformations) {
    if (!standardTransformersRegistry.getIfExists(id)) {
      faults.push(`unknown transformation ${id}`);
    }
  }
  return faults;
}

/** Returns what cannot be read in a drawn panel: text that is cut, too small or outside of it. */
export function unreadable(panel: HTMLElement): string[] {
  const faults = new Set<string>();
  const frame = panel.getBoundingClientRect();
  for (const element of panel.querySelectorAll<HTMLElement>('*')) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
    const forReaders = element.clientWidth <= 1 && getComputedStyle(element).position === 'absolute';
    if (!own || forReaders || element.closest('[aria-hidden="true"],svg,style')) {
      continue;
    }
    const text = element.textContent?.trim() ?? '';
    const style = getComputedStyle(element);
    for (let at: HTMLElement | null = element; at && at !== panel; at = at.parentElement) {
      if (getComputedStyle(at).overflowX !== 'visible' && at.scrollWidth > at.clientWidth + 1 && at.clientWidth > 0) {
        faults.add(
          at.getAttribute('role') === 'grid' || at.matches('[class*=scroll]')
            ? 'columns out of sight'
            : `text cut: ${text}`
        );
        break;
      }
    }
    if (parseFloat(style.fontSize) < LEAST_FONT) {
      faults.add(`text too small (${style.fontSize}): ${text}`);
    }
    const box = element.getBoundingClientRect();
    if (box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1)) {
      faults.add(`text outside of its panel: ${text}`);
    }
  }
  return [...faults];
}
