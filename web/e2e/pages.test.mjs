// Against the hosts that tests/web/test_page.py stores: web-1 (busy, alerting), web-2, web-10, db-1 (silent), sim-1 (simulated).
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launch, open, violations } from "./browser.mjs";

let browser;
before(async () => {
  browser = await launch();
});
// An open page keeps asking.
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));
after(() => browser.close());

const names = (page) => page.locator("table.fleet tbody th a").allInnerTexts();

test("the fleet table shows every host with its figures", async () => {
  const page = await open(browser, "");
  await page.getByRole("row", { name: /web-10/ }).waitFor();
  assert.deepEqual(await names(page), ["db-1", "sim-1", "web-1", "web-2", "web-10"]);
  const busy = await page.getByRole("row", { name: /^web-1 / }).innerText();
  assert.match(busy, /Up/);
  assert.match(busy, /96 %/);
  assert.match(await page.getByRole("row", { name: /db-1/ }).innerText(), /Silent/);
  assert.match(await page.getByRole("row", { name: /sim-1/ }).innerText(), /simulated/);
  assert.deepEqual(page.failures, []);
});

test("the table sorts, searches and keeps both in the address", async () => {
  const page = await open(browser, "");
  await page.getByRole("button", { name: "CPU" }).click();
  await page.locator('th[aria-sort="descending"]', { hasText: "CPU" }).waitFor();
  assert.equal((await names(page))[0], "web-1");
  await page.getByRole("button", { name: "CPU" }).click();
  await page.locator('th[aria-sort="ascending"]', { hasText: "CPU" }).waitFor();
  assert.notEqual((await names(page))[0], "web-1");
  await page.keyboard.press("/");
  await page.keyboard.type("WEB-1");
  await page.getByRole("row", { name: /db-1/ }).waitFor({ state: "detached" });
  assert.deepEqual((await names(page)).toSorted(), ["web-1", "web-10"]);
  await page.reload();
  await page.getByRole("row", { name: /web-10/ }).waitFor();
  assert.deepEqual((await names(page)).toSorted(), ["web-1", "web-10"]);
  await page.getByRole("searchbox").fill("nothing like it");
  await page.getByText("No host fits the search.").waitFor();
  await page.getByRole("button", { name: "Show all hosts" }).click();
  await page.getByRole("row", { name: /db-1/ }).waitFor();
  assert.equal((await names(page)).length, 5);
});

test("a keyboard alone reaches a host, its charts and another range", async () => {
  const page = await open(browser, "");
  await page.getByRole("row", { name: /^web-1 / }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await focusedText(page), "Skip to content");
  for (let presses = 0; presses < 40 && (await focusedText(page)) !== "web-1"; presses += 1) {
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "web-1" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
  assert.match(await page.title(), /^web-1/);
  await page.getByRole("radio", { name: "The last 1 hour" }).focus();
  await page.keyboard.press("ArrowLeft");
  await page.waitForURL(/range=15m/);
  const chart = page.locator('[data-chart="cpu"]');
  await chart.locator(".time-chart").focus();
  await page.keyboard.press("ArrowLeft");
  await chart.getByRole("columnheader", { name: /\d\d:\d\d:\d\d/ }).waitFor();
});

test("the host page draws every chart and refreshes them in place", async () => {
  const page = await open(browser, "#/hosts/web-1?range=15m");
  for (const id of ["cpu", "memory", "filesystem", "disk", "network", "load"]) {
    const chart = page.locator(`[data-chart="${id}"]`);
    await chart.locator("canvas").waitFor();
    assert.ok((await linePixels(chart)) > 100, `${id} has no line`);
  }
  assert.match(await page.locator('[data-chart="cpu"] .legend').innerText(), /in use\s+96 %/);
  assert.match(await page.locator('[data-chart="memory"] .legend').innerText(), /in use\s+6.0 GiB/);
  assert.match(await page.locator('[data-chart="filesystem"] .legend').innerText(), /\/data\s+75 %/);
  assert.match(
    await page.locator('[data-chart="network"] .legend').innerText(),
    /eth0 received\s+2.0 KiB\/s/,
  );
  const canvas = await page.locator('[data-chart="load"] canvas').elementHandle();
  await page.waitForResponse((response) => response.url().includes("node_load15") && response.ok());
  assert.ok(await canvas.evaluate((element) => element.isConnected), "the chart was made anew");
  assert.deepEqual(page.failures, []);
});

test("an unknown host is named, with the nearest ones", async () => {
  const page = await open(browser, "#/hosts/web-11");
  const failure = page.getByRole("alert");
  await failure.waitFor();
  assert.match(await failure.innerText(), /web-11/);
  await failure.getByRole("link", { name: "web-10" }).click();
  await page.getByRole("heading", { level: 1, name: "web-10" }).waitFor();
});

test("the alert page lists what fires and what happened", async () => {
  const page = await open(browser, "#/alerts");
  const firing = page.getByRole("list", { name: "Firing alerts" }).getByRole("listitem");
  await firing.first().waitFor();
  assert.equal(await firing.count(), 1);
  assert.match(await firing.first().innerText(), /Critical[\s\S]*HostCpuHigh on web-1[\s\S]*0.91/);
  const past = page.getByRole("list", { name: "Past changes of alerts" }).getByRole("listitem");
  await past.first().waitFor();
  assert.deepEqual(
    (await past.allInnerTexts()).map((text) => text.split(/\s/)[0]),
    ["Critical", "Resolved", "Warning"],
  );
  await page.getByRole("link", { name: "web-1", exact: true }).first().click();
  await page.getByRole("list", { name: "Alerts that fire on this host" }).waitFor();
});

test("hosts that are slow to come are announced", async () => {
  const page = await open(browser, "#/alerts");
  await page.route("**/api/fleet/v1/hosts?*", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await route.continue();
  });
  await page.getByRole("link", { name: "Fleet", exact: true }).click();
  await page.getByRole("status").getByText("Loading hosts…").waitFor();
  await page.getByRole("row", { name: /web-10/ }).waitFor();
});

test("the theme follows the system until one is chosen, and the choice stays", async () => {
  const page = await open(browser, "", { colorScheme: "dark" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.getByRole("button", { name: "Theme: auto. Switch to light" }).click();
  const light = await background();
  assert.notEqual(light, dark);
  await page.reload();
  assert.equal(await background(), light);
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [390, 1280]) {
    test(`axe finds nothing, ${colorScheme}, ${width} pixels wide, and nothing sticks out`, async () => {
      const shown = {
        "": "table.fleet",
        "#/hosts/web-1": "[data-chart=load] canvas",
        "#/alerts": ".alert-row",
      };
      for (const [place, ready] of Object.entries(shown)) {
        const page = await open(browser, place, { colorScheme, width });
        await page.locator(ready).first().waitFor();
        assert.deepEqual(await violations(page), [], place);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(over <= 0, `${place} is ${over} pixels too wide`);
        await page.context().close();
      }
    });
  }
}

function focusedText(page) {
  return page.evaluate(() => document.activeElement.innerText?.trim() ?? "");
}

/** Pixels of a chart's canvas in the colour of its first line. */
function linePixels(chart) {
  return chart.locator("canvas").evaluate((canvas) => {
    const colour = getComputedStyle(document.documentElement).getPropertyValue("--line-1");
    const wanted = colour.match(/\d+/g).map(Number);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] > 200 && wanted.every((part, index) => Math.abs(data[at + index] - part) < 16))
        found += 1;
    }
    return found;
  });
}
