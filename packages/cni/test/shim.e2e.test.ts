/** The executable alone, built with a short deadline, before an agent that takes no calls. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { run, runOrThrow } from "@calico/linux";
import { afterAll, beforeAll, expect, test } from "vitest";

/** Listens, says so, and then never looks at its socket again. */
const DEAF = `require("node:net").createServer().listen({ path: process.argv[1], backlog: 1 }, () => {
  require("node:fs").writeSync(1, "listening");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "cni-shim-"));
  const source = new URL("../shim/calico-cni.c", import.meta.url).pathname;
  await runOrThrow(["gcc", "-DDEADLINE_MS=300", "-o", join(dir, "calico"), source], {});
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test("an agent whose queue of calls is full: the call ends at its deadline, and can be tried again", async () => {
  const path = join(dir, "cni.sock");
  const deaf = spawn(process.execPath, ["-e", DEAF, path], { stdio: ["ignore", "pipe", "inherit"] });
  const waiting = [];
  try {
    await once(deaf.stdout, "data");
    for (let isFull = false; !isFull;) {
      const socket = connect(path);
      waiting.push(socket);
      isFull = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(false));
        socket.once("error", (e: NodeJS.ErrnoException) => resolve(e.code === "EAGAIN"));
      });
    }
    const call = ["env", `CALICO_CNI_SOCKET=${path}`, "CNI_COMMAND=ADD", join(dir, "calico")] as const;
    const { code, stdout } = await run(call, { stdin: "{}", timeoutMs: 20_000 });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ code: 11, details: "the CNI agent took no call within its deadline" });
  } finally {
    for (const socket of waiting) socket.destroy();
    deaf.kill("SIGKILL");
  }
});
