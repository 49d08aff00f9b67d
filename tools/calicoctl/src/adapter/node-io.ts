/** The world of a command line: files, standard streams, unix sockets. */
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { dirname, join } from "node:path";
import { CliError } from "../domain/cli-error.ts";
import type { Io } from "../ports.ts";

const SOCKET_TIMEOUT_MS = 5000;

export function makeNodeIo(): Io {
  return {
    print: (line) => void process.stdout.write(line.endsWith("\n") ? line : `${line}\n`),
    readText,
    resourceFiles,
    writeText,
    parseYaml,
    renderYaml: async (value) =>
      (await import("yaml")).stringify(value, { sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false }),
    askSocket,
  };
}

async function readText(path: string): Promise<string> {
  if (path === "-") {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
    return Buffer.concat(chunks).toString("utf8");
  }
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new CliError(`cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
}

async function resourceFiles(path: string, recursive: boolean): Promise<readonly string[]> {
  if (path === "-") return [path];
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const entries = await readdir(path, { withFileTypes: true });
    const found = await Promise.all(
      entries.map(async (entry) => {
        const full = join(path, entry.name);
        if (entry.isDirectory()) return recursive ? resourceFiles(full, true) : [];
        return /\.(ya?ml|json)$/.test(entry.name) ? [full] : [];
      }),
    );
    return found.flat().sort();
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw new CliError(`cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
}

async function writeText(path: string, text: string): Promise<void> {
  const part = `${path}.${process.pid}.part`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(part, text);
    await rename(part, path);
  } catch (cause) {
    throw new CliError(`cannot write ${path}: ${reasonOf(cause)}`, { cause });
  }
}

async function parseYaml(file: string, text: string): Promise<readonly unknown[]> {
  const { parseAllDocuments } = await import("yaml");
  const documents = parseAllDocuments(text);
  return [...documents].map((document) => {
    const [error] = document.errors;
    if (error) throw new CliError(`failed to execute command: ${file}: ${error.message}`);
    return document.toJS() as unknown;
  });
}

function askSocket(path: string, request: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    let text = "";
    const fail = (why: string) => {
      socket.destroy();
      reject(new CliError(`cannot ask ${path}: ${why}`));
    };
    socket.setEncoding("utf8").setTimeout(SOCKET_TIMEOUT_MS, () => fail(`no answer within ${SOCKET_TIMEOUT_MS} ms`));
    socket.on("error", (cause: NodeJS.ErrnoException) =>
      cause.code === "ENOENT" || cause.code === "ECONNREFUSED" ? resolve(undefined) : fail(cause.message),
    );
    socket.on("end", () => fail("the connection was closed before an answer"));
    socket.on("connect", () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (!text.includes("\n")) return;
      socket.destroy();
      try {
        resolve(JSON.parse(text.slice(0, text.indexOf("\n"))));
      } catch {
        fail(`the answer is not JSON: ${text.slice(0, 80)}`);
      }
    });
  });
}

function reasonOf(cause: unknown): string {
  const code = (cause as { readonly code?: unknown }).code;
  const known: Readonly<Record<string, string>> = {
    ENOENT: "no such file or folder",
    EACCES: "permission denied",
    EISDIR: "it is a folder",
  };
  return (typeof code === "string" ? known[code] : undefined) ?? (cause instanceof Error ? cause.message : String(cause));
}
