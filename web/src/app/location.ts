/**
 * Where the page is: a path and parameters behind the "#", so that any server and any path prefix will do
 * and a link to a host, a sort order or a range can be sent to somebody.
 */
export interface Place {
  path: string[];
  search: URLSearchParams;
}

/** "#/hosts/web%2F1?range=6h" → path ["hosts", "web/1"], search range=6h. */
export function parsePlace(hash: string): Place {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { path: path.split("/").filter(Boolean).map(decode), search: new URLSearchParams(search) };
}

/** The opposite of parsePlace; parameters that are empty are left out. */
export function placeHref(path: string[], search: Record<string, string> | URLSearchParams = {}): string {
  const kept = new URLSearchParams([...new URLSearchParams(search)].filter(([, value]) => value !== ""));
  const query = kept.size > 0 ? `?${kept}` : "";
  return `#/${path.map(encodeURIComponent).join("/")}${query}`;
}

export const hostHref = (host: string): string => placeHref(["hosts", host]);
export const explainHref = (rule: string, host: string): string => placeHref(["rules", rule], { host });

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
