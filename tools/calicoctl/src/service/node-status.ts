/** `node status`: this node's BGP sessions, as its bgp daemon tells them. */
import { CliError } from "../domain/cli-error.ts";
import { renderBordered } from "../domain/bordered.ts";
import type { Io } from "../ports.ts";

type Peer = { readonly address: string; readonly type: string; readonly state: string; readonly since: string; readonly info: string };

const HEADINGS = ["PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"];

export async function nodeStatus(io: Io, options: { readonly runDir: string }): Promise<void> {
  const socket = `${options.runDir}/bgp.sock`;
  const answer = await io.askSocket(socket, { op: "status" });
  if (answer === undefined) {
    io.print("Calico process is not running.");
    throw new CliError(`no bgp daemon listens at ${socket}; start it, or give its folder with --run-dir`);
  }
  const peers = parsePeers(answer, socket);
  io.print(`Calico process is running.\n\n${section(4, peers)}\n\n${section(6, peers)}\n`);
}

function parsePeers(answer: unknown, socket: string): readonly Peer[] {
  const { peers, error } = (typeof answer === "object" && answer !== null ? answer : {}) as {
    readonly peers?: unknown;
    readonly error?: unknown;
  };
  if (error !== undefined) throw new CliError(`the bgp daemon at ${socket} answered: ${String(error)}`);
  if (!Array.isArray(peers)) throw new CliError(`the answer from ${socket} has no list of peers`);
  return (peers as Readonly<Record<string, unknown>>[]).map((peer) => {
    const text = (field: string) => String(peer[field] ?? "");
    return { address: text("address"), type: text("type"), state: text("state"), since: text("since"), info: text("info") };
  });
}

function section(family: 4 | 6, peers: readonly Peer[]): string {
  const own = peers.filter(({ address }) => address.includes(":") === (family === 6));
  const rows = own.map(({ address, type, state, since, info }) => [address, type, state, since, info]);
  return `IPv${family} BGP status\n${rows.length === 0 ? `No IPv${family} peers found.` : renderBordered(HEADINGS, rows)}`;
}
