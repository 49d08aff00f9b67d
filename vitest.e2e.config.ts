import { defineConfig } from "vitest/config";

/** Tests that need root, real daemons or the kernel; one file at a time, since they own namespaces by name. */
export default defineConfig({
  test: {
    include: ["packages/**/*.e2e.test.ts", "tools/**/*.e2e.test.ts", "e2e/**/*.e2e.test.ts"],
    exclude: ["**/node_modules/**"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
