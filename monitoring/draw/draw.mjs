#!/usr/bin/env node
/**
 * Draws dashboards over a Prometheus, prints their faults, and exits with 1 when there is any.
 *
 * node monitoring/draw/draw.mjs [options] DASHBOARD.json…
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';

const USAGE = `Options:
  --prometheus URL   whom to ask (http://127.0.0.1:9090)
  --to TIME          the end of the time range, in seconds since the epoch (now)
  --minutes N        its length (180)
  --var NAME=VALUE   a variable's value, as often as wanted (what the dashboard has chosen)
  --allow TITLE      a panel that may be without data, as often as wanted
  --width PIXELS     of the browser's window (1600)
  --theme NAME       dark or light (dark)
  --open             open closed rows
  --out DIRECTORY    where NAME.png goes (artifacts/dashboards)
  --report FILE      writes what each panel shows as JSON
`;
const HERE = dirname(fileURLToPath(import.meta.url));
const PAGE = 'http://draw.invalid/';
const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Returns the page's script and style, with fonts in it; they are kept until a source or a version changes. */
async function bundle() {
  const sources = (await readdir(join(HERE, 'src'))).sort().map((name) => join(HERE, 'src', name));
  const hash = createHash('sha256');
  for (const path of [...sources, join(HERE, 'package-lock.json'), fileURLToPath(import.meta.url)]) {
    hash.update(await readFile(path));
  }
  const kept = join(HERE, 'node_modules/.cache', `page-${hash.digest('hex').slice(0, 16)}.json`);
  if (!existsSync(kept)) {
    await mkdir(dirname(kept), { recursive: true });
    await writeFile(`${kept}.${process.pid}`, JSON.stringify(await built()));
    await rename(`${kept}.${process.pid}`, kept);
  }
  return JSON.parse(await readFile(kept, 'utf8'));
}

async function built() {
  const { outputFiles } = await build({
    entryPoints: [join(HERE, 'src/page.tsx')],
    bundle: true,
    write: false,
    minify: true,
    outdir: 'out',
    format: 'iife',
    jsx: 'automatic',
    loader: { '.woff2': 'dataurl', '.woff': 'empty' },
    alias: { 'monaco-editor': join(HERE, 'src/nothing.ts'), '@monaco-editor/react': join(HERE, 'src/nothing.ts') },
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    logLevel: 'error',
  });
  return Object.fromEntries(outputFiles.map((file) => [basename(file.path), file.text]));
}

async function open(browser, files) {
  const page = await browser.newPage();
  await page.emulateTimezone('UTC');
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const name = request.url().slice(PAGE.length);
    if (request.url() === PAGE) {
      const body = '<!doctype html><link rel="stylesheet" href="page.css"><body><script src="page.js"></script>';
      request.respond({ contentType: 'text/html; charset=utf-8', body });
    } else if (files[name]) {
      request.respond({ contentType: name.endsWith('.css') ? 'text/css' : 'text/javascript', body: files[name] });
    } else if (request.url().startsWith('data:')) {
      request.continue();
    } else {
      request.respond({ status: 204 }); // icons; nothing is fetched
    }
  });
  return page;
}

/** Returns a function that asks the Prometheus at `url`. */
function asker(url) {
  return async (path, parameters) => {
    try {
      const address = new URL(`api/v1/${path}`, url.endsWith('/') ? url : `${url}/`);
      address.search = new URLSearchParams(parameters);
      const { username, password } = address; // fetch takes none in a URL
      address.username = address.password = '';
      const headers = username ? { Authorization: `Basic ${btoa(`${username}:${password}`)}` } : {};
      const answer = await (await fetch(address, { headers })).json();
      return answer.status === 'success' ? { data: answer.data } : { error: answer.error };
    } catch (error) {
      return { error: `${new URL(url).host}: ${error.cause?.message ?? error.message}` };
    }
  };
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
      to: { type: 'string', default: `${Date.now() / 1000}` },
      minutes: { type: 'string', default: '180' },
      var: { type: 'string', multiple: true, default: [] },
      allow: { type: 'string', multiple: true, default: [] },
      width: { type: 'string', default: '1600' },
      theme: { type: 'string', default: 'dark' },
      open: { type: 'boolean', default: false },
      out: { type: 'string', default: 'artifacts/dashboards' },
      report: { type: 'string' },
    },
  });
  if (positionals.length === 0) {
    throw new Error('which dashboard?');
  }
  const executablePath = process.env.CHROMIUM ?? BROWSERS.find(existsSync);
  if (!executablePath) {
    throw new Error('no Chromium: install it, or set CHROMIUM to its path');
  }
  const variables = {};
  for (const [name, value] of values.var.map((pair) => pair.split(/=(.*)/s))) {
    (variables[name] ??= []).push(value);
  }
  const to = Math.round(Number(values.to) * 1000);
  const range = { from: to - Number(values.minutes) * 60_000, to };
  const width = Number(values.width);
  const files = await bundle();
  const browser = await puppeteer.launch({
    executablePath,
    // Whoever asks has a deadline of their own; a busy machine needs more than puppeteer's of half a minute.
    timeout: 180_000,
    protocolTimeout: 600_000,
    // As root there is no sandbox to be had; what is drawn is the repository's own, and it reaches nothing.
    args: [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), '--disable-dev-shm-usage', '--force-color-profile=srgb'],
  });
  const reports = {};
  try {
    await mkdir(values.out, { recursive: true });
    const page = await open(browser, files);
    let thrown = [];
    page.on('pageerror', (error) => thrown.push(`script: ${error.message}`));
    await page.exposeFunction('askPrometheus', asker(values.prometheus));
    await page.goto(PAGE, { timeout: 180_000 });
    for (const path of positionals) {
      const name = basename(path, '.json');
      const dashboard = JSON.parse(await readFile(path, 'utf8'));
      await page.setViewport({ width, height: 8000 }); // what is out of sight is not laid out
      const wanted = { dashboard, range, variables, width, theme: values.theme, open: values.open };
      const report = await page.evaluate((wanted) => window.draw(wanted), wanted);
      report.faults.push(...thrown);
      thrown = [];
      await page.setViewport({ width, height: Math.ceil(report.height) });
      await page.screenshot({ path: join(values.out, `${name}.png`) });
      reports[name] = report;
    }
  } finally {
    await browser.close();
  }
  const faults = Object.entries(reports).flatMap(([name, { faults, panels }]) => [
    ...faults.map((fault) => `${name}: ${fault}`),
    ...panels.flatMap((panel) =>
      panel.faults
        .filter((fault) => fault !== 'No data' || !values.allow.includes(panel.title))
        .map((fault) => `${name}: ${panel.title}: ${fault}`)
    ),
  ]);
  if (values.report) {
    await mkdir(dirname(resolve(values.report)), { recursive: true });
    await writeFile(values.report, JSON.stringify(reports, null, 1));
  }
  process.stdout.write(faults.map((fault) => `${fault}\n`).join(''));
  return faults.length ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error.message}\n${USAGE}`);
  process.exitCode = 2;
}
