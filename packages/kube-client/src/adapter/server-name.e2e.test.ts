import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import process from "node:process";
import { afterAll, beforeAll, expect, test } from "vitest";

/** tls-server-name that is an address: the certificate is checked against it, on both runtimes, whatever address is dialled. */
const dir = mkdtempSync("/tmp/calico-tls-");
const root = new URL("../../../..", import.meta.url).pathname;
let server: Server;
let port: number;

beforeAll(async () => {
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=ca");
  openssl("req", ...key, "-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=s", "-addext", "subjectAltName=IP:127.0.0.2");
  openssl(
    "x509",
    "-req",
    "-in",
    "s.csr",
    "-CA",
    "ca.crt",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-copy_extensions",
    "copy",
    "-out",
    "s.crt",
    "-days",
    "2",
  );
  server = createServer({ key: readFileSync(`${dir}/s.key`), cert: readFileSync(`${dir}/s.crt`) }, (_q, r) => r.end("{}"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as { port: number }).port;
});

afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

const script = `
import { readFileSync } from "node:fs";
import process from "node:process";
import { openKubeClient } from "@calico/kube-client";
const [ca, port, name] = process.argv.slice(2);
const client = openKubeClient({ server: "https://127.0.0.1:" + port, namespace: "default", ca: readFileSync(ca, "utf8"), insecureSkipTlsVerify: false, tlsServerName: name });
await client.raw({ method: "GET", path: "/" }).then(() => console.log("answered"), () => console.log("refused"));
client.close();
`;

test.for([
  { runtime: "deno", name: "127.0.0.2", want: "answered" },
  { runtime: "deno", name: "127.0.0.3", want: "refused" },
  { runtime: "node", name: "127.0.0.2", want: "answered" },
  { runtime: "node", name: "127.0.0.3", want: "refused" },
])("tls-server-name $name against a certificate for 127.0.0.2 on $runtime: $want", async ({ runtime, name, want }) => {
  const place = mkdtempSync(`${root}packages/kube-client/.tls-`);
  try {
    writeFileSync(`${place}/ask.ts`, script);
    const said = await new Promise<string>((resolve) =>
      execFile(
        `${root}setup/run.sh`,
        [`${place}/ask.ts`, `${dir}/ca.crt`, String(port), name],
        { env: { ...process.env, CALICO_RUNTIME: runtime } },
        (error, stdout, stderr) => resolve(stdout.trim() || `${String(error)} ${stderr}`),
      ),
    );
    expect(said).toBe(want);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
});
