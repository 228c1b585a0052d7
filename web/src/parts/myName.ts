const KEY = "fleetpulse:name";

/** The name given last in this browser; nobody is authenticated. */
export function myName(): string {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Remember it for the next time, where the browser allows that. */
export function rememberMyName(name: string): void {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // it is asked for again
  }
}
