#!/usr/bin/env node
/**
 * Says where dashboards differ from the schema of Grafana's own package, and then exits with 1.
 *
 * node monitoring/draw/schema.mjs DASHBOARD.json…
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';

const HERE = dirname(fileURLToPath(import.meta.url));
const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(HERE, 'tsconfig.json'), ts.sys.readFile).config,
  ts.sys,
  HERE
);
const sources = new Map(
  process.argv.slice(2).map((path) => {
    const name = basename(path, '.json');
    const text = `import { Written } from './schema';\nexport const written: Written = ${readFileSync(path, 'utf8')};\n`;
    return [join(HERE, 'src', `${name}.json.ts`), text];
  })
);
const host = ts.createCompilerHost(options);
const { fileExists, getSourceFile } = host;
host.fileExists = (path) => sources.has(path) || fileExists(path);
host.getSourceFile = (path, ...rest) =>
  sources.has(path)
    ? ts.createSourceFile(path, sources.get(path), ts.ScriptTarget.ES2022)
    : getSourceFile(path, ...rest);
for (const diagnostic of ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host))) {
  const { line } = ts.getLineAndCharacterOfPosition(diagnostic.file, diagnostic.start);
  const text = ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n').split('\n');
  process.stdout.write(`${basename(diagnostic.file.fileName, '.ts')}:${line}: ${text[0]} ${text.length > 1 ? text.at(-1).trim() : ''}\n`);
  process.exitCode = 1;
}
