import { useEffect, useRef } from "react";
import { AlertsPage } from "../pages/alerts/AlertsPage";
import { FleetPage } from "../pages/fleet/FleetPage";
import { HostPage } from "../pages/host/HostPage";
import { ExplainPage } from "../pages/rules/ExplainPage";
import { RulesPage } from "../pages/rules/RulesPage";
import { SilencesPage } from "../pages/silences/SilencesPage";
import { Empty } from "../parts/Empty";
import { Header } from "./Header";
import { usePlace } from "./usePlace";

export function App() {
  const { path } = usePlace();
  const main = useRef<HTMLElement>(null);
  const shown = useRef(path.join("/"));

  useEffect(() => {
    const now = path.join("/");
    if (now === shown.current) return;
    shown.current = now;
    window.scrollTo(0, 0);
    // A new page is announced and read from its start, as after a full load.
    main.current?.focus({ preventScroll: true });
  }, [path]);

  return (
    <>
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        Skip to content
      </button>
      <Header page={path[0] ?? ""} />
      <main ref={main} tabIndex={-1}>
        <Page path={path} />
      </main>
    </>
  );
}

function Page({ path }: { path: string[] }) {
  const [page, name] = path;
  if (page === undefined) return <FleetPage />;
  if (page === "hosts" && name !== undefined && path.length === 2) return <HostPage key={name} host={name} />;
  if (page === "alerts" && path.length === 1) return <AlertsPage />;
  if (page === "silences" && path.length === 1) return <SilencesPage />;
  if (page === "rules" && path.length === 1) return <RulesPage />;
  if (page === "rules" && name !== undefined && path.length === 2)
    return <ExplainPage key={name} rule={name} />;
  return (
    <Empty title="There is no such page.">
      <a href="#/">Show the fleet</a>
    </Empty>
  );
}
