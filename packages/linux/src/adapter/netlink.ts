/** rtnetlink for the rest of the system: the codecs of domain/ over one socket. */
import { closeSync } from "node:fs";
import { err, ok } from "@calico/model";
import type { Ack } from "../domain/ack.ts";
import { decodeAddress, encodeGetAddresses } from "../domain/address.ts";
import { ERRNO } from "../domain/errno.ts";
import { decodeLink, encodeDeleteLink, encodeGetLinks } from "../domain/link.ts";
import { decodeFdb, decodeNeighbour, encodeGetFdb, encodeGetNeighbours } from "../domain/neighbour.ts";
import { NetlinkError } from "../domain/netlink-error.ts";
import { changesLinkNames, describeOp, encodeOp, hintFor } from "../domain/op.ts";
import { TABLE_MAIN } from "../domain/protocol.ts";
import type { NameOf } from "../domain/resolve.ts";
import { decodeRoute, encodeGetRoutes, encodeLookUpRoute } from "../domain/route.ts";
import { decodeRule, encodeGetRules } from "../domain/rule.ts";
import type { Netlink, NetlinkOp, OpResult, Route, RouteFilter } from "../ports.ts";
import { readChanges } from "./changes.ts";
import { openNetlinkSocket } from "./netlink-socket.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { openNetns, withNetns } from "./netns.ts";

/** One send: below the socket's send buffer, and below what failing answers may fill of the receive queue. */
const MAX_SEND_MESSAGES = 256;
const MAX_SEND_OCTETS = 64 * 1024;

/** rtnetlink in a namespace, by default the calling thread's own. */
export function openNetlink(options: { readonly netnsPath?: string } = {}): Netlink {
  const openSocket = (groups?: number): NetlinkSocket =>
    options.netnsPath === undefined ? openNetlinkSocket(groups) : withNetns(options.netnsPath, () => openNetlinkSocket(groups));
  const socket = openSocket();
  const one = async (op: NetlinkOp): Promise<void> => {
    const [result] = applyOps(socket, [op]);
    if (result && !result.ok) throw result.error;
  };
  const dump = <T>(request: Uint8Array, op: string, decode: (body: Uint8Array, nameOf: NameOf) => T | undefined): T[] => {
    const nameOf = cachedNames(socket);
    return socket.dump(request, op).flatMap((body) => decode(body, nameOf) ?? []);
  };

  return {
    links: async () => dump(encodeGetLinks(), "list links", decodeLink),
    link: async (name) => readLink(socket, name),
    addLink: (spec) => one({ do: "addLink", spec }),
    setLink: (link, set) => one({ do: "setLink", link, set }),
    async deleteLink(link) {
      const op = { do: "deleteLink", link } as const;
      const index = socket.indexOf(link);
      const answer = index === undefined ? noSuchLink(link) : await socket.exchangeApart(encodeDeleteLink(index));
      if (answer.errno !== 0) throw refusal(op, answer);
    },
    async addresses(filter = {}) {
      const index = filter.link === undefined ? undefined : indexOrThrow(socket, filter.link, "list addresses");
      return dump(encodeGetAddresses({ index, family: filter.family }), "list addresses", decodeAddress);
    },
    replaceAddress: (link, cidr, o = {}) => one({ do: "replaceAddress", link, cidr, ...o }),
    deleteAddress: (link, cidr) => one({ do: "deleteAddress", link, cidr }),
    routes: async (filter = {}) => readRoutes(socket, filter, dump),
    routeTo: async (ip) => lookUpRoute(ip, dump),
    replaceRoute: (route) => one({ do: "replaceRoute", route }),
    deleteRoute: (route) => one({ do: "deleteRoute", route }),
    async neighbours(link) {
      const index = indexOrThrow(socket, link, "list neighbours");
      const read = (which: "neighbours" | "proxies") => dump(encodeGetNeighbours(index, which), "list neighbours", decodeNeighbour);
      return [...read("neighbours"), ...read("proxies")].filter((entry) => entry.link === link);
    },
    replaceNeighbour: (neighbour) => one({ do: "replaceNeighbour", neighbour }),
    deleteNeighbour: (neighbour) => one({ do: "deleteNeighbour", neighbour }),
    async fdb(link) {
      indexOrThrow(socket, link, "list FDB entries");
      return dump(encodeGetFdb(), "list FDB entries", decodeFdb).filter((entry) => entry.link === link);
    },
    replaceFdb: (entry) => one({ do: "replaceFdb", entry }),
    deleteFdb: (entry) => one({ do: "deleteFdb", entry }),
    rules: async (family = 4) => dump(encodeGetRules(family), "list rules", decodeRule),
    addRule: (rule) => one({ do: "addRule", rule }),
    deleteRule: (rule) => one({ do: "deleteRule", rule }),
    apply: async (ops) => applyOps(socket, ops),
    changes: (signal, o = {}) => readChanges(openSocket, signal, o),
    close: () => socket.close(),
    [Symbol.dispose]: () => socket.close(),
  };
}

function readLink(socket: NetlinkSocket, name: string) {
  if (socket.indexOf(name) === undefined) return undefined;
  try {
    const [body] = socket.dump(encodeGetLinks(name), `read link ${name}`);
    return body && decodeLink(body);
  } catch (error) {
    if (error instanceof NetlinkError && error.code === "ENODEV") return undefined;
    throw error;
  }
}

type Dump = <T>(request: Uint8Array, op: string, decode: (body: Uint8Array, nameOf: NameOf) => T | undefined) => T[];

function readRoutes(socket: NetlinkSocket, filter: RouteFilter, dump: Dump): Route[] {
  const index = filter.link === undefined ? undefined : socket.indexOf(filter.link);
  if (filter.link !== undefined && index === undefined) return [];
  const families: readonly (4 | 6)[] = filter.family === undefined ? [4, 6] : [filter.family];
  return families.flatMap((family) => {
    try {
      return dump(encodeGetRoutes(family, { ...filter, index }), "list routes", decodeRoute).filter((route) => matches(route, filter));
    } catch (error) {
      // The kernel makes a table when its first route comes.
      if (error instanceof NetlinkError && error.code === "ENOENT") return [];
      throw error;
    }
  });
}

/** How the kernel says that there is no route, or that the one there is discards: blackhole, unreachable, prohibit. */
const NOT_REACHED: readonly string[] = ["ENETUNREACH", "EHOSTUNREACH", "EINVAL", "EACCES"];

function lookUpRoute(ip: string, dump: Dump): Route | undefined {
  try {
    return dump(encodeLookUpRoute(ip), `look up the route to ${ip}`, decodeRoute)[0];
  } catch (error) {
    if (error instanceof NetlinkError && NOT_REACHED.includes(error.code)) return undefined;
    throw error;
  }
}

/** What the kernel's own filter lets through: IPv6 ignores parts of it, and multipath routes match a device by any next hop. */
function matches(route: Route, filter: RouteFilter): boolean {
  const usesLink = (link: string) => route.dev === link || route.multipath?.some((hop) => hop.dev === link) === true;
  return (
    (filter.table === "all" || (route.table ?? TABLE_MAIN) === (filter.table ?? TABLE_MAIN)) &&
    (filter.protocol === undefined || route.protocol === filter.protocol) &&
    (filter.type === undefined || route.type === filter.type) &&
    (filter.link === undefined || usesLink(filter.link))
  );
}

function applyOps(socket: NetlinkSocket, ops: readonly NetlinkOp[]): readonly OpResult[] {
  const results: OpResult[] = [];
  const batch = makeBatch(socket, results);
  for (const [position, op] of ops.entries()) batch.add(op, position);
  batch.send();
  return results;
}

/** Collects messages until they are enough for one send. Names are resolved when a message is made, so device changes are sent first. */
function makeBatch(socket: NetlinkSocket, results: OpResult[]) {
  let pending: { op: NetlinkOp; position: number; message: Uint8Array }[] = [];
  let octets = 0;
  let namesMayChange = false;
  let descriptors: number[] = [];

  function send(): void {
    try {
      for (const [i, answer] of socket.exchange(pending.map((p) => p.message)).entries()) {
        const sent = pending[i];
        if (sent) results[sent.position] = answer.errno === 0 ? ok(undefined) : err(refusal(sent.op, answer));
      }
    } finally {
      for (const fd of descriptors) closeSync(fd);
      pending = [];
      octets = 0;
      namesMayChange = false;
      descriptors = [];
    }
  }

  function add(op: NetlinkOp, position: number): void {
    const resolve = {
      index(link: string): number {
        if (namesMayChange) send();
        const index = socket.indexOf(link);
        if (index === undefined) throw refusal(op, noSuchLink(link));
        return index;
      },
      netnsFd(path: string): number {
        const fd = openNetns(path);
        descriptors.push(fd);
        return fd;
      },
    };
    let message: Uint8Array;
    try {
      message = encodeOp(op, resolve);
    } catch (error) {
      results[position] = err(error instanceof NetlinkError ? error : refusal(op, unencodable(error as Error)));
      return;
    }
    pending.push({ op, position, message });
    octets += message.length;
    namesMayChange ||= changesLinkNames(op);
    if (pending.length >= MAX_SEND_MESSAGES || octets >= MAX_SEND_OCTETS) send();
  }

  return { add, send };
}

/** A namespace that cannot be opened keeps its errno; an operand that cannot be parsed is EINVAL. */
function unencodable(error: Error): { errno: number; kernelMessage: string } {
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code;
  const errno = code !== undefined && code in ERRNO ? ERRNO[code as keyof typeof ERRNO] : ERRNO.EINVAL;
  return { errno, kernelMessage: error.message };
}

function noSuchLink(link: string): Ack {
  return { errno: ERRNO.ENODEV, kernelMessage: `no link ${link}` };
}

function refusal(op: NetlinkOp, answer: { errno: number; kernelMessage?: string }): NetlinkError {
  const error = new NetlinkError({ op: describeOp(op), ...answer });
  const hint = hintFor(op, error.code);
  return hint === undefined ? error : new NetlinkError({ op: describeOp(op), ...answer, hint });
}

function indexOrThrow(socket: NetlinkSocket, link: string, op: string): number {
  const index = socket.indexOf(link);
  if (index === undefined) throw new NetlinkError({ op: `${op} of link ${link}`, errno: ERRNO.ENODEV });
  return index;
}

function cachedNames(socket: NetlinkSocket): NameOf {
  const names = new Map<number, string | undefined>();
  return (index) => {
    if (!names.has(index)) names.set(index, socket.nameOf(index));
    return names.get(index);
  };
}
