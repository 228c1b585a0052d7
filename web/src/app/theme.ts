export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "fleetpulse.theme";

/** The theme chosen here before; "auto", which is the system's, when none was or storage is off. */
export function storedTheme(): Theme {
  try {
    const stored = window.localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === stored) ?? "auto";
  } catch {
    return "auto";
  }
}

/** Shows a theme; charts listen to the event, as a canvas does not follow the style sheet. */
export function applyTheme(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  window.dispatchEvent(new Event("fleetpulse:theme"));
}

export function chooseTheme(theme: Theme): void {
  try {
    window.localStorage.setItem(KEY, theme);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  applyTheme(theme);
}

/** Calls back whenever colours may have changed: by the toggle or by the system. */
export function onThemeChange(changed: () => void): () => void {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  window.addEventListener("fleetpulse:theme", changed);
  system.addEventListener("change", changed);
  return () => {
    window.removeEventListener("fleetpulse:theme", changed);
    system.removeEventListener("change", changed);
  };
}
