import { useState } from "react";
import { Icon } from "../parts/Icon";
import { chooseTheme, storedTheme, THEMES } from "./theme";

const ICONS = { auto: "auto", light: "sun", dark: "moon" } as const;

export function ThemeToggle() {
  const [theme, setTheme] = useState(storedTheme);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
  return (
    <button
      type="button"
      className="quiet"
      aria-label={`Theme: ${theme}. Switch to ${next}`}
      title={`Theme: ${theme}`}
      onClick={() => {
        chooseTheme(next);
        setTheme(next);
      }}
    >
      <Icon name={ICONS[theme]} />
    </button>
  );
}
