/** A dashboard by Grafana's own schema (@grafana/schema), where a key that it does not know is a type error. */
import type {
  AnnotationContainer, AnnotationQuery, Dashboard, DataQuery, FieldConfigSource, Panel, RowPanel, VariableModel,
} from '@grafana/schema'; // prettier-ignore
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** As it stands in JSON: enumerations are their values. */
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? number
    : T extends boolean | null | undefined
      ? T
      : T extends Array<infer Item>
        ? Array<Json<Item>>
        : T extends object
          ? { [Key in keyof T]: Json<T[Key]> }
          : T;

/** Without `[key: string]`, which would let anything pass. */
type Known<T> = { [Key in keyof T as string extends Key ? never : Key]: T[Key] };

/** A query of the data source for Prometheus, whose own schema is not in the package. */
type PrometheusQuery = Known<DataQuery> & {
  expr: string;
  legendFormat?: string;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  range?: boolean;
  exemplar?: boolean;
  interval?: string;
};

type Of<Type extends string, Options, Custom> = Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  targets: PrometheusQuery[];
  options: Partial<Known<Options>>;
  fieldConfig: Omit<FieldConfigSource, 'defaults'> & {
    defaults: Omit<Known<FieldConfigSource['defaults']>, 'custom'> & { custom?: Partial<Known<Custom>> };
  };
};

type AnyPanel =
  | Of<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Of<'stat', stat.Options, object>
  | Of<'table', table.Options, table.FieldConfig>
  | Of<'state-timeline', timeline.Options, timeline.FieldConfig>
  | Of<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | (Omit<Panel, 'type' | 'options' | 'fieldConfig'> & { type: 'text'; options: Known<text.Options> });

/** What the data source for Prometheus reads of an annotation beyond the schema. */
type Annotation = Omit<AnnotationQuery, 'target'> & {
  target: PrometheusQuery;
  titleFormat?: string;
  useValueForTime?: boolean;
};

/** What the data source for Prometheus reads of a variable beyond the schema. */
type Variable = Omit<VariableModel, 'query'> & { query?: string | { query: string; refId: string }; definition?: string };

export type Written = Json<
  Omit<Known<Dashboard>, 'panels' | 'annotations' | 'templating'> & {
    panels: Array<AnyPanel | (Omit<RowPanel, 'panels'> & { panels: AnyPanel[] })>;
    annotations: Omit<AnnotationContainer, 'list'> & { list: Annotation[] };
    templating: { list: Variable[] };
  }
>;
