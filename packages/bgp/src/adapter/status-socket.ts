/** A unix socket that answers one JSON line with one JSON line, for calicoctl and people. Root only. */
import { chmodSync, existsSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { dirname } from "node:path";

const LONGEST_REQUEST = 4096;

/** `answer` gets the parsed request, and may throw: the caller is told. */
export async function serveStatus(path: string, answer: (request: unknown) => unknown): Promise<AsyncDisposable> {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path)) unlinkSync(path);
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    clients.add(socket);
    socket.on("close", () => clients.delete(socket));
    socket.on("error", () => socket.destroy());
    answerLines(socket, answer);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new Error(`Cannot serve status on ${path}; choose another folder with --run-dir`, { cause })));
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of clients) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

function answerLines(socket: Socket, answer: (request: unknown) => unknown): void {
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) socket.write(`${JSON.stringify(answerLine(line, answer))}\n`);
    if (text.length > LONGEST_REQUEST) socket.destroy();
  });
}

function answerLine(line: string, answer: (request: unknown) => unknown): unknown {
  try {
    return answer(JSON.parse(line));
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
