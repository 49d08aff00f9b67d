/**
 * A program inside one namespace of the test: serves TCP and UDP, and asks others. One JSON request per line on stdin, one JSON answer per line
 * on stdout. Every answer of a server is `<name> <client address>`.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";

export type AgentRequest =
  | { readonly do: "serve"; readonly name: string; readonly ip: string; readonly port: number }
  | { readonly do: "open"; readonly key: string; readonly ip: string; readonly port: number }
  | { readonly do: "say"; readonly key: string }
  | { readonly do: "close"; readonly key: string }
  | { readonly do: "udp"; readonly key: string; readonly ip: string; readonly port: number };

/** `reply`, or `error` with its code: ECONNREFUSED, ETIMEDOUT, … */
export interface AgentAnswer {
  readonly reply?: string;
  readonly error?: string;
}

const TIMEOUT_MS = 1_000;
const connections = new Map<string, Socket>();
const udpSockets = new Map<string, UdpSocket>();

async function answer(request: AgentRequest): Promise<string> {
  if (request.do === "serve") return serve(request);
  if (request.do === "open") return open(request);
  if (request.do === "udp") return askUdp(request);
  const socket = connections.get(request.key);
  if (socket === undefined) throw new Error(`no connection ${request.key}`);
  if (request.do === "say") return say(socket);
  socket.destroy();
  connections.delete(request.key);
  return "closed";
}

async function serve({ name, ip, port }: { name: string; ip: string; port: number }): Promise<string> {
  const tcp = createServer((socket) =>
    socket.on("error", () => socket.destroy()).on("data", () => socket.write(`${name} ${socket.remoteAddress}`)),
  );
  await new Promise<void>((resolve, reject) => tcp.once("error", reject).listen(port, ip, resolve));
  const udp = createSocket("udp4");
  udp.on("message", (_text, from) => udp.send(`${name} ${from.address}`, from.port, from.address));
  await new Promise<void>((resolve) => udp.bind(port, ip, resolve));
  return "serving";
}

function open({ key, ip, port }: { key: string; ip: string; port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, ip);
    const timer = setTimeout(() => fail(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })), TIMEOUT_MS);
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      socket.on("error", () => socket.destroy());
      connections.set(key, socket);
      say(socket).then(resolve, reject);
    });
  });
}

function say(socket: Socket): Promise<string> {
  return waitFor((done, fail) => {
    socket.once("data", (data) => done(data.toString()));
    socket.once("close", () => fail("closed"));
    socket.write("hello");
  });
}

/** The socket of a key keeps its port, as a resolver that goes on asking does. */
async function askUdp({ key, ip, port }: { key: string; ip: string; port: number }): Promise<string> {
  let socket = udpSockets.get(key);
  if (socket === undefined) {
    socket = createSocket("udp4");
    socket.on("error", () => {}); // ICMP refusals show as no reply
    udpSockets.set(key, socket);
  }
  const asked = socket;
  return waitFor((done) => {
    asked.removeAllListeners("message").once("message", (data) => done(data.toString()));
    asked.send("hello", port, ip);
  });
}

function waitFor(start: (done: (reply: string) => void, fail: (code: string) => void) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (code: string) => {
      clearTimeout(timer);
      reject(Object.assign(new Error(code), { code }));
    };
    const timer = setTimeout(() => fail("ETIMEDOUT"), TIMEOUT_MS);
    start((reply) => {
      clearTimeout(timer);
      resolve(reply);
    }, fail);
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const result: AgentAnswer = await answer(JSON.parse(line) as AgentRequest).then(
    (reply) => ({ reply }),
    (error: NodeJS.ErrnoException) => ({ error: error.code ?? error.message }),
  );
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
process.exit(0);
