/**
 * Opens a page in a headless Chromium, waits until all of some texts are on it, and prints its text.
 *
 * node tests/support/browse.mjs USER:PASSWORD URL PICTURE.png TEXT…
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

const puppeteer = createRequire(new URL('../../monitoring/draw/package.json', import.meta.url))('puppeteer-core');
const [login, url, picture, ...texts] = process.argv.slice(2);
const [username, password] = login.split(':');
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const browser = await puppeteer.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
  timeout: 180_000, // a busy machine needs more than puppeteer's half a minute
  protocolTimeout: 600_000,
});
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1400, height: 900 });
  await page.authenticate({ username, password });
  const there = (texts) => texts.every((text) => document.body.innerText.includes(text));
  // Chromium gives up what is under way when the machine's networks change, as other tests' containers make them.
  for (let attempt = 0; attempt < 4; attempt++) {
    process.exitCode = 1;
    try {
      await page.goto(url, { timeout: 180_000 });
      await page.waitForFunction(there, { timeout: 60_000 }, texts);
      process.exitCode = 0;
      break;
    } catch (error) {
      process.stderr.write(`${error}\n`);
    }
  }
  await page.screenshot({ path: picture });
  process.stdout.write(await page.evaluate(() => document.body.innerText));
} finally {
  await browser.close();
}
