// Against an API whose database has no sample.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, open, violations } from "./browser.mjs";

test("an empty fleet says what to do, and has no alerts", async () => {
  const browser = await launch();
  try {
    const page = await open(browser, "");
    await page.getByText("No host has sent a sample yet.").waitFor();
    assert.deepEqual(await violations(page), []);
    await page.getByRole("link", { name: "Alerts", exact: true }).click();
    await page.getByText("Nothing fires.").waitFor();
    await page.getByText("No alert has fired yet.").waitFor();
    assert.deepEqual(await violations(page), []);
    assert.deepEqual(page.failures, []);
  } finally {
    await browser.close();
  }
});
