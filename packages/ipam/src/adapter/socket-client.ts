/**
 * `Ipam` over the service's socket, with the library in this process when no service answers.
 */
import type { Socket } from "node:net";
import { connectUnix, readLines } from "@calico/daemon";
import { StoreUnavailable } from "@calico/datastore";
import { answerSchema, OPERATIONS, parseLine, renderLine } from "../domain/protocol.ts";
import type { EtcdTarget, Operation, WireAnswer } from "../domain/protocol.ts";
import type { Ipam } from "../ports.ts";

export type IpamClientOptions = {
  readonly socketPath: string;
  /** The datastore; undefined: the service's own. */
  readonly etcd?: EtcdTarget;
  /** The library, opened when the socket does not answer. */
  readonly fallback: () => Promise<Ipam> | Ipam;
  readonly timeoutMs?: number;
};

type Waiting = { readonly resolve: (answer: WireAnswer) => void; readonly reject: (error: Error) => void };
type Line = { readonly socket: Socket; readonly waiting: Map<number, Waiting>; nextId: number };

export interface IpamClient extends Ipam, AsyncDisposable {}

/**
 * One connection, made at the first call and again after it broke. A call whose connection breaks while it waits
 * throws: whether it was done is unknown, and releasing its handle settles it.
 */
export function openIpamClient(options: IpamClientOptions): IpamClient {
  const { socketPath, etcd, fallback, timeoutMs = 30_000 } = options;
  let line: Promise<Line | undefined> | undefined;
  let library: Promise<Ipam> | undefined;
  const lineOpen = async (): Promise<Line | undefined> => {
    line ??= openLine(socketPath, () => (line = undefined));
    const opened = await line;
    if (opened === undefined) line = undefined;
    return opened;
  };
  const call = async (op: Operation, args: readonly unknown[]): Promise<unknown> => {
    const opened = await lineOpen();
    if (opened !== undefined) return await ask(opened, { op, args, etcd, timeoutMs });
    library ??= Promise.resolve(fallback());
    const local = (await library) as unknown as Record<Operation, (...args: readonly unknown[]) => Promise<unknown>>;
    return await local[op](...args);
  };
  const operations = Object.fromEntries(OPERATIONS.map((op) => [op, (...args: readonly unknown[]) => call(op, args)])) as unknown as Ipam;
  return {
    ...operations,
    async [Symbol.asyncDispose]() {
      (await line)?.socket.destroy();
    },
  };
}

async function openLine(path: string, onClose: () => void): Promise<Line | undefined> {
  const socket = await connectUnix(path);
  if (socket === undefined) return undefined;
  const line: Line = { socket, waiting: new Map(), nextId: 1 };
  readLines(socket, (text) => settle(line, text));
  const end = (why: string) => {
    onClose();
    for (const { reject } of line.waiting.values()) reject(lost(why));
    line.waiting.clear();
  };
  socket.on("error", (e) => end(e.message));
  socket.on("close", () => end("it closed the connection"));
  return line;
}

function settle(line: Line, text: string): void {
  const answer = answerSchema.safeParse(parseLine(text));
  if (!answer.success) return void line.socket.destroy(new Error("it sent what is no answer"));
  const waiting = line.waiting.get(answer.data.id);
  line.waiting.delete(answer.data.id);
  waiting?.resolve(answer.data);
}

async function ask(
  line: Line,
  o: { op: Operation; args: readonly unknown[]; etcd: EtcdTarget | undefined; timeoutMs: number },
): Promise<unknown> {
  const id = line.nextId++;
  const answered = Promise.withResolvers<WireAnswer>();
  line.waiting.set(id, answered);
  const timer = setTimeout(() => answered.reject(lost(`no answer to ${o.op} within ${o.timeoutMs} ms`)), o.timeoutMs);
  try {
    line.socket.write(renderLine({ id, op: o.op, args: [...o.args], ...(o.etcd === undefined ? {} : { etcd: o.etcd }) }));
    const answer = await answered.promise;
    if (!("fault" in answer)) return answer.value;
    throw answer.fault.unavailable ? new StoreUnavailable(answer.fault.message, { outcome: "unknown" }) : new Error(answer.fault.message);
  } finally {
    clearTimeout(timer);
    line.waiting.delete(id);
  }
}

function lost(why: string): StoreUnavailable {
  return new StoreUnavailable(`The IPAM service did not answer: ${why}`, { outcome: "unknown" });
}
