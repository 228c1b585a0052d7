import { useCallback, useMemo, useSyncExternalStore } from "react";
import { type Place, parsePlace, placeHref } from "./location";

const CHANGED = "fleetpulse:place";

export function usePlace(): Place {
  const hash = useSyncExternalStore(subscribe, () => window.location.hash);
  return useMemo(() => parsePlace(hash), [hash]);
}

/** Sets parameters of the current place without a step in the browser's history; "" removes one. */
export function useSetSearch(): (changes: Record<string, string>) => void {
  return useCallback((changes) => {
    const { path, search } = parsePlace(window.location.hash);
    for (const [name, value] of Object.entries(changes)) search.set(name, value);
    window.history.replaceState(null, "", placeHref(path, search));
    window.dispatchEvent(new Event(CHANGED));
  }, []);
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  window.addEventListener(CHANGED, changed);
  return () => {
    window.removeEventListener("hashchange", changed);
    window.removeEventListener(CHANGED, changed);
  };
}
