// Against the hosts that tests/web/test_page.py stores: HostCpuHigh of web-1 fires, critical. What is done here stays.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launch, open, violations } from "./browser.mjs";

let browser;
before(async () => {
  browser = await launch();
});
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));
after(() => browser.close());

const firing = (page) => page.getByRole("list", { name: "Firing alerts" }).getByRole("listitem").first();

/** So many hours from now, as an input takes it: local, whole minutes. */
function inHours(hours) {
  const at = new Date(Date.now() + hours * 3_600_000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** A picture of the page, where somebody asks for pictures. */
async function picture(page, name) {
  const folder = process.env.FLEETPULSE_PICTURES;
  if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}

test("an empty list of silences says where they come from", async () => {
  const page = await open(browser, "#/silences");
  await page.getByText("Nothing is silenced.").waitFor();
  assert.deepEqual(await violations(page), []);
});

test("an alert is acknowledged: who, why, until when are shown beside it", async () => {
  const page = await open(browser, "#/alerts");
  const button = page.getByRole("button", { name: "Acknowledge HostCpuHigh on web-1" });
  await button.click();
  const dialog = page.getByRole("dialog", { name: "Acknowledge HostCpuHigh on web-1" });
  await dialog.waitFor();
  assert.deepEqual(await violations(page), []);
  await picture(page, "acknowledge");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.match(await page.evaluate(() => document.activeElement.innerText), /^Acknowledge/);
  await button.click();
  await dialog.getByLabel("Your name").fill("ada");
  await dialog.getByLabel("Why").fill("looking into it");
  await dialog.getByRole("button", { name: "Acknowledge" }).click();
  await dialog.waitFor({ state: "detached" });
  await firing(page)
    .getByText(/Acknowledged by ada, ends in 1 h 59 min|Acknowledged by ada, ends in 2 h/)
    .waitFor();
  assert.match(await firing(page).innerText(), /looking into it/);
  assert.equal(await button.count(), 0);
  assert.deepEqual(page.failures, []);
});

test("a silence is cut by the chosen labels, listed, and ended by somebody", async () => {
  const page = await open(browser, "#/alerts");
  await page.getByRole("button", { name: "Silence HostCpuHigh on web-1" }).click();
  const dialog = page.getByRole("dialog", { name: "Silence HostCpuHigh on web-1" });
  await dialog.getByLabel('instance="web-1"').uncheck();
  await dialog.getByLabel("Your name").fill("grace");
  await dialog.getByLabel("Why").fill("known");
  await dialog.getByLabel("For how long").selectOption("8 hours");
  await picture(page, "silence");
  assert.deepEqual(await violations(page), []);
  await dialog.getByLabel('alertname="HostCpuHigh"').uncheck();
  assert.ok(
    await dialog.getByRole("button", { name: "Silence" }).isDisabled(),
    "everything would be silenced",
  );
  await dialog.getByLabel('alertname="HostCpuHigh"').check();
  await dialog.getByRole("button", { name: "Silence" }).click();
  await firing(page).getByText("Silenced by grace").waitFor();
  await picture(page, "alerts");
  await page.getByRole("link", { name: "Silences" }).click();
  const live = page.getByRole("list", { name: "Silences in force" });
  const row = live.getByRole("listitem").filter({ hasText: "grace" });
  assert.match(await row.innerText(), /Silence of alertname="HostCpuHigh"[\s\S]*known — grace[\s\S]*ends in/);
  await picture(page, "silences");
  await row.getByRole("button", { name: /End now/ }).click();
  const ending = page.getByRole("dialog", { name: "End the silence now" });
  assert.equal(await ending.getByLabel("Your name").inputValue(), "grace");
  await ending.getByRole("button", { name: "End it" }).click();
  await page.getByRole("list", { name: "Silences that are over" }).getByText("grace").waitFor();
  assert.equal(await live.getByText("grace").count(), 0);
  assert.deepEqual(page.failures, []);
});

test("maintenance is planned, changed and ended, by matchers as people write them", async () => {
  const page = await open(browser, "#/silences");
  await page.getByRole("button", { name: "Plan maintenance" }).click();
  const dialog = page.getByRole("dialog", { name: "Plan maintenance" });
  const plan = dialog.getByRole("button", { name: "Plan it" });
  await dialog.getByLabel("All alerts with").fill("web-1");
  await dialog.getByText("“web-1” is not a matcher").waitFor();
  assert.ok(await plan.isDisabled());
  await dialog.getByLabel("All alerts with").fill('host=~"web-.*"\nseverity!=info');
  await dialog.getByText("Of 1 alert firing now, 1 would be quiet.").waitFor();
  await dialog.getByLabel("From (empty: now)").fill(inHours(24));
  await dialog.getByLabel("Until").fill(inHours(27));
  await dialog.getByLabel("Why").fill("rack 4 moves");
  await dialog.getByLabel("Your name").fill("lin");
  await picture(page, "maintenance");
  assert.deepEqual(await violations(page), []);
  await plan.click();
  await dialog.waitFor({ state: "detached" });
  const live = page.getByRole("list", { name: "Silences in force" });
  const row = live.getByRole("listitem").filter({ hasText: "rack 4 moves" });
  assert.match(
    await row.innerText(),
    /Maintenance of host=~"web-\.\*" ?severity!="info"[\s\S]*lin[\s\S]*begins in 23 h[\s\S]*for 3 h/,
  );
  await row.getByRole("button", { name: /Change/ }).click();
  const change = page.getByRole("dialog", { name: "Change the maintenance" });
  assert.equal(await change.getByLabel("All alerts with").inputValue(), 'host=~"web-.*"\nseverity!="info"');
  await change.getByLabel("Until").fill(inHours(28));
  await change.getByRole("button", { name: "Save" }).click();
  await row.getByText(/for 4 h/).waitFor();
  await row.getByRole("button", { name: /End now/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "End it" }).click();
  const over = page.getByRole("list", { name: "Silences that are over" });
  await over.getByText("rack 4 moves").waitFor();
  assert.deepEqual(page.failures, []);
});

test("what the API refuses is said in the dialog, which stays open", async () => {
  const page = await open(browser, "#/alerts");
  await page.route("**/api/fleet/v1/silences", (route) =>
    route.request().method() === "POST"
      ? route.fulfill({
          status: 400,
          contentType: "application/problem+json",
          body: JSON.stringify({ type: "about:blank", title: "x", status: 400, detail: "not today" }),
        })
      : route.continue(),
  );
  await page.getByRole("button", { name: "Silence HostCpuHigh on web-1" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Your name").fill("ada");
  await dialog.getByLabel("Why").fill("because");
  await dialog.getByRole("button", { name: "Silence" }).click();
  await dialog.getByRole("alert").getByText("not today").waitFor();
});

test("the rules page lists groups with their states and leads to an explanation", async () => {
  const page = await open(browser, "#/rules");
  const rule = page.getByRole("listitem").filter({ hasText: "HostCpuHigh" }).first();
  await rule.waitFor();
  await picture(page, "rules");
  await rule.getByRole("link", { name: "HostCpuHigh" }).click();
  await page.getByText("Which host?").waitFor();
  await page.getByLabel("Host").fill("web-1");
  await page.getByRole("button", { name: "Explain" }).click();
  await page.locator(".verdict").waitFor();
  assert.match(page.url(), /host=web-1/);
});

test("an alert explains itself: verdict, value against its limits, states in words", async () => {
  const page = await open(browser, "#/alerts");
  await page.getByRole("link", { name: "Explain HostCpuHigh on web-1" }).click();
  await page.getByRole("heading", { level: 1, name: "HostCpuHigh on web-1" }).waitFor();
  await page.locator(".verdict").waitFor();
  await page.getByRole("img", { name: /Value over time: at last 0.96/ }).waitFor();
  assert.match(
    await page.locator(".explained ol").first().innerText(),
    /\d\d:\d\d:\d\d[\s\S]*(Firing|Not met|Met)/,
  );
  await picture(page, "explain");
  await page.getByLabel("And before it").selectOption("6 hours");
  await page.waitForURL(/before=6h/);
  assert.deepEqual(page.failures, []);
});

for (const [colorScheme, width] of [
  ["light", 390],
  ["dark", 1280],
]) {
  test(`axe finds nothing, ${colorScheme}, ${width} pixels wide, and nothing sticks out`, async () => {
    const shown = {
      "#/alerts": ".quieted",
      "#/silences": ".silence",
      "#/rules": ".rule",
      "#/rules/HostCpuHigh?host=web-1": ".verdict",
    };
    for (const [place, ready] of Object.entries(shown)) {
      const page = await open(browser, place, { colorScheme, width });
      await page.locator(ready).first().waitFor();
      await picture(page, `${colorScheme}-${width}-${place.replace(/\W+/g, "-")}`);
      assert.deepEqual(await violations(page), [], place);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(over <= 0, `${place} is ${over} pixels too wide`);
      await page.context().close();
    }
  });
}
