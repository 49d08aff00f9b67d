/** Connection tracking: forget the flows of an address or a service, so that the next packet is judged and translated afresh. */
import { explainFailure, run } from "./run.ts";

/** All that is given must match. */
export type FlowFilter = {
  readonly family?: 4 | 6;
  readonly protocol?: "tcp" | "udp" | "sctp" | "icmp";
  readonly origSrc?: string;
  readonly origDst?: string;
  readonly origDstPort?: number;
  readonly replySrc?: string;
  readonly replyDst?: string;
};

export type ConntrackOptions = { readonly netnsPath?: string };

/** Delete every flow in which the address takes part, as either end, before or after translation. Gives how many went. */
export async function deleteConntrack({ ip }: { readonly ip: string }, options: ConntrackOptions = {}): Promise<number> {
  let deleted = 0;
  for (const end of ["origSrc", "origDst", "replySrc", "replyDst"] as const) deleted += await deleteFlows({ [end]: ip }, options);
  return deleted;
}

/** Delete the flows that match. Gives how many went. An empty filter is refused: it would delete all. */
export async function deleteFlows(filter: FlowFilter, options: ConntrackOptions = {}): Promise<number> {
  const words = flowArguments(filter);
  if (words.length === 0) throw new TypeError("Cannot delete flows by an empty filter: give an address, or a protocol and port");
  const isV6 = Object.values(filter).some((value) => typeof value === "string" && value.includes(":"));
  const done = await run(["conntrack", "-D", "-f", filter.family === 6 || isV6 ? "ipv6" : "ipv4", ...words], {
    netnsPath: options.netnsPath,
  });
  // "0 flow entries have been deleted" comes with exit code 1.
  const count = /(\d+) flow entries have been deleted/.exec(done.stderr);
  if (!count) throw new Error(`Cannot delete flows ${words.join(" ")}: ${explainFailure(done)}`);
  return Number(count[1]);
}

function flowArguments(filter: FlowFilter): string[] {
  const table = [
    ["--proto", filter.protocol],
    ["--orig-src", filter.origSrc],
    ["--orig-dst", filter.origDst],
    ["--orig-port-dst", filter.origDstPort],
    ["--reply-src", filter.replySrc],
    ["--reply-dst", filter.replyDst],
  ] as const;
  return table.flatMap(([option, value]) => (value === undefined ? [] : [option, String(value)]));
}
