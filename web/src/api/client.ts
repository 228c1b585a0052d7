import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";

export type Host = components["schemas"]["Host"];
export type HostList = components["schemas"]["HostList"];
export type HostDetail = components["schemas"]["HostDetail"];
export type Samples = components["schemas"]["Samples"];
export type SampledSeries = components["schemas"]["SampledSeries"];
export type AlertEvent = components["schemas"]["AlertEvent"];
export type AlertList = components["schemas"]["AlertList"];
export type AlertHistory = components["schemas"]["AlertHistory"];
export type Silence = components["schemas"]["SilenceInfo"];
export type SilenceChange = components["schemas"]["SilenceChange"];
export type SilenceMatcher = components["schemas"]["SilenceMatcher"];
export type RuleGroup = components["schemas"]["RuleGroupInfo"];
export type Explanation = components["schemas"]["RuleExplanation"];
export type ExplainedSeries = components["schemas"]["ExplainedSeries"];
export type ExplainedLevel = components["schemas"]["ExplainedLevel"];
export type ExplainedSpan = components["schemas"]["ExplainedSpan"];
export type Rule = components["schemas"]["RuleInfo"];
type Problem = components["schemas"]["Problem"];

/** What a request failed with: a sentence for a person and, when the API answered, its status and details. */
export class RequestError extends Error {
  readonly status: number | null;
  readonly nearest: string[];

  constructor(message: string, status: number | null, nearest: string[] = []) {
    super(message);
    this.name = "RequestError";
    this.status = status;
    this.nearest = nearest;
  }
}

let skewMs = 0;

/** The server's time in Unix milliseconds, by its Date headers, so that a wrong clock here shifts no chart. */
export function serverNow(): number {
  return Date.now() + skewMs;
}

const followClock: Middleware = {
  onResponse({ response }) {
    const at = Date.parse(response.headers.get("date") ?? "");
    const found = at - Date.now();
    // The header has whole seconds: anything less is not a difference between clocks.
    if (!Number.isNaN(at)) skewMs = Math.abs(found) > 2000 ? found : 0;
    return undefined;
  },
};

/** The API beside this page, whatever path the page is served under. */
export const api = createClient<paths>({ baseUrl: new URL(".", document.baseURI).href.replace(/\/$/, "") });
api.use(followClock);

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The body of an answer; throws RequestError with the problem's sentence. */
export async function body<T>(request: Promise<Answer<T>>): Promise<T> {
  const answer = await request.catch((cause: unknown) => {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new RequestError("The API does not answer. It may be starting, stopped or out of reach.", null);
  });
  if (answer.data !== undefined) return answer.data;
  const status = answer.response.status;
  if (isProblem(answer.error)) {
    throw new RequestError(answer.error.detail, status, answer.error.nearest ?? []);
  }
  throw new RequestError(`The API answered with status ${status}.`, status);
}

function isProblem(error: unknown): error is Problem {
  return typeof error === "object" && error !== null && "detail" in error && typeof error.detail === "string";
}
