// Stops the API that FLEETPULSE_API_PID names: run last.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, open, violations } from "./browser.mjs";

test("a stopped API is said on every page, and what was known stays on the screen", async () => {
  const browser = await launch();
  try {
    const page = await open(browser, "");
    await page.getByRole("row", { name: /^web-1 / }).waitFor();
    process.kill(Number(process.env.FLEETPULSE_API_PID), "SIGTERM");

    const notice = page.getByRole("alert");
    await notice.getByText("The API does not answer.").waitFor();
    assert.match(await notice.innerText(), /The hosts below are of \d\d:\d\d:\d\d/);
    assert.ok(await page.getByRole("row", { name: /^web-1 / }).isVisible());
    assert.deepEqual(await violations(page), []);

    await page.getByRole("link", { name: "web-2", exact: true }).click();
    await page.getByText("No facts of this host.").waitFor();
    await page.getByText("No CPU samples.").waitFor();
    assert.ok((await page.getByRole("button", { name: "Try again" }).count()) > 5);
    assert.deepEqual(await violations(page), []);

    await page
      .getByRole("link", { name: /^Alerts/ })
      .first()
      .click();
    await page.getByText("No past alerts.").waitFor();
    assert.deepEqual(await violations(page), []);
    assert.deepEqual(page.failures, []);
  } finally {
    await browser.close();
  }
});
