import { chmod, mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { basename, dirname, join } from "node:path";

export interface UnixServer extends AsyncDisposable {
  readonly path: string;
}

/**
 * Listen on a unix socket that only this user may open, in place of what a process that is gone left at `path`. Rejects when another one
 * serves it already: two of them would not know of each other's calls.
 *
 * The socket is made in a folder that nobody else can enter and then moved, so at no time can others connect.
 */
export async function listenUnix(path: string, onConnection: (socket: Socket) => void): Promise<UnixServer> {
  if (await isServed(path)) throw new Error(`Cannot listen on ${path}: another process serves it; stop that one first`);
  await mkdir(dirname(path), { recursive: true });
  const folder = await mkdtemp(join(dirname(path), `.${basename(path)}-`));
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    onConnection(socket);
  });
  let inode: number | undefined;
  try {
    await listen(server, join(folder, "s"));
    await chmod(join(folder, "s"), 0o600);
    inode = await inodeOf(join(folder, "s"));
    await rename(join(folder, "s"), path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      if (inode !== undefined && (await inodeOf(path)) === inode) await rm(path, { force: true });
      const closed = new Promise((done) => server.close(done));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code === "EAGAIN")); // its queue is full
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** Undefined if there is nothing. */
async function inodeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.ino;
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(new Error(`Cannot listen on ${path}: ${cause.message}`, { cause })));
    server.listen(path, resolve);
  });
}

/** A connected socket, or undefined if nobody listens there. */
export function connectUnix(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("error", () => resolve(undefined));
    socket.once("connect", () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

/** Call `onLine` for each line, which is at most `maxLength` long; a longer one ends the connection. */
export function readLines(socket: Socket, onLine: (line: string) => void, maxLength = 1 << 22): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    if (rest.length > maxLength) socket.destroy();
  });
}
