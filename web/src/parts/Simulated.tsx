/** Marks a host that `fleetpulse simulate` made up. */
export function Simulated() {
  return (
    <span className="tag" title="Made up by fleetpulse simulate">
      simulated
    </span>
  );
}
