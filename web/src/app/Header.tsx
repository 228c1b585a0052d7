import { useAlerts } from "../api/queries";
import { counted } from "../format/number";
import { ThemeToggle } from "./ThemeToggle";

export function Header({ page }: { page: string }) {
  const firing = useAlerts(null).data?.alerts.length ?? 0;
  return (
    <header className="header">
      <a href="#/" className="brand">
        <img src="./pulse.svg" alt="" width="22" height="22" />
        <span className="brand-name">Fleetpulse</span>
      </a>
      <nav aria-label="Pages">
        <a href="#/" aria-current={page === "" || page === "hosts" ? "page" : undefined}>
          Fleet
        </a>
        <a href="#/alerts" aria-current={page === "alerts" ? "page" : undefined}>
          Alerts
          {firing > 0 && (
            <span className="count">
              <span aria-hidden="true">{firing}</span>
              <span className="visually-hidden">, {counted(firing, "alert")} firing</span>
            </span>
          )}
        </a>
        <a href="#/silences" aria-current={page === "silences" ? "page" : undefined}>
          Silences
        </a>
        <a href="#/rules" aria-current={page === "rules" ? "page" : undefined}>
          Rules
        </a>
      </nav>
      <ThemeToggle />
    </header>
  );
}
