import { describe, expect, it } from "vitest";
import { hostHref, parsePlace, placeHref } from "./location";

describe("place", () => {
  it("is empty at the root", () => {
    for (const hash of ["", "#", "#/"]) expect(parsePlace(hash).path).toEqual([]);
  });

  it.each(["web-1", "web/1", "a b?c#d", "100%", "Zürich"])("carries the host name %s both ways", (host) => {
    expect(parsePlace(hostHref(host)).path).toEqual(["hosts", host]);
  });

  it("reads parameters that contain a question mark", () => {
    const place = parsePlace("#/?q=what%3F&sort=-cpu");
    expect(place.path).toEqual([]);
    expect([...place.search]).toEqual([
      ["q", "what?"],
      ["sort", "-cpu"],
    ]);
  });

  it("leaves empty parameters out", () => {
    expect(placeHref(["alerts"], { host: "" })).toBe("#/alerts");
    expect(placeHref(["alerts"], { host: "web 1" })).toBe("#/alerts?host=web+1");
  });

  it("takes a malformed escape as it is", () => {
    expect(parsePlace("#/hosts/50%").path).toEqual(["hosts", "50%"]);
  });
});
