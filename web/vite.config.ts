import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const API = "http://127.0.0.1:8000";

export default defineConfig({
  // Relative, so that the page also works below a path, as behind a reverse proxy.
  base: "./",
  plugins: [react()],
  // The first browsers with light-dark(), which the colours are written in.
  build: { target: ["chrome123", "firefox120", "safari17.5"] },
  server: { host: "127.0.0.1", proxy: { "/api": API, "/health": API } },
  test: { include: ["src/**/*.test.ts"] },
});
