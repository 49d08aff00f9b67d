import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort, startTestServer, type TestServer, untilReady } from "@calico/datastore/testing";

export interface TestNats extends TestServer {
  readonly servers: string[];
}

export interface TestNatsOptions {
  /** More of the server's configuration: authorization, tls. */
  readonly config?: string;
}

/** A private nats-server with JetStream on a free loopback port, files in a temporary folder. */
export async function startNats({ config = "" }: TestNatsOptions = {}): Promise<TestNats> {
  const port = await freePort();
  const server = await startTestServer({ name: "nats", data: "js", launch: (dir) => launch(dir, port, config) });
  return Object.assign(server, { servers: [`nats://127.0.0.1:${port}`] });
}

async function launch(dir: string, port: number, config: string): Promise<ChildProcess> {
  await writeFile(join(dir, "nats.conf"), `max_payload: 2MB\n${config}`, { mode: 0o600 });
  const args = ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", join(dir, "js"), "-c", join(dir, "nats.conf")];
  const child = spawn("nats-server", args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  await untilReady(
    child,
    async () => /Server is ready/.test(said) && (await accepts(port)),
    () => `Cannot start nats-server on port ${port}: ${said}`,
  );
  return child;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const answer = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}
