/**
 * One rtnetlink socket. The kernel answers a request while it is being sent, so send and receive are one synchronous exchange
 * and nothing waits; the receive time-out is a guard, not a wait. A socket stays in the namespace it was made in.
 * What the kernel is known to take long for goes over `exchangeApart`.
 */
import { decodeAck, decodeDone } from "../domain/ack.ts";
import type { Ack } from "../domain/ack.ts";
import { ERRNO } from "../domain/errno.ts";
import { NetlinkError } from "../domain/netlink-error.ts";
import { NLM_F, NLMSG } from "../domain/protocol.ts";
import { align4, decodeMessages, viewOf } from "../domain/wire.ts";
import { libc } from "./libc.ts";
import { inNetns } from "./netns.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0x80000;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
const SO = { receiveBuffer: 8, receiveTimeout: 20, receiveBufferForce: 33 } as const;
const SOL_NETLINK = 270;
const NETLINK = { capAck: 10, extAck: 11, strictCheck: 12 } as const;
const MSG_DONTWAIT = 0x40;
const SIOCGSKNS = 0x894c;
const SIOCGIFNAME = 0x8910;
const SIOCGIFINDEX = 0x8933;
const IFREQ_OCTETS = 40;
const IFNAMSIZ = 16;

/** A dump's datagrams are at most 32 KiB; room to spare. */
const RECEIVE_OCTETS = 64 * 1024;
const RECEIVE_QUEUE_OCTETS = 1024 * 1024;
const EVENT_QUEUE_OCTETS = 8 * 1024 * 1024;
const ANSWER_TIMEOUT_SEC = 5;
const MAX_INTERRUPTED_DUMPS = 10;

/** One for all sockets of the thread: what is received is decoded or copied before anything else can be. */
let receiveBuffer: Uint8Array | undefined;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface NetlinkSocket {
  /** Send the messages in one system call; one answer per message, in order. */
  exchange(messages: readonly Uint8Array[]): readonly Ack[];
  /** One message and its answer, over a socket of its own in the same namespace and on another thread: this one goes on meanwhile. */
  exchangeApart(message: Uint8Array): Promise<Ack>;
  /** Send one dump or get request; bodies of the answer. ENODEV and friends throw. */
  dump(request: Uint8Array, op: string): readonly Uint8Array[];
  /** Events waiting on a socket made with groups, without blocking. */
  receiveEvents(): { readonly messages: readonly { type: number; body: Uint8Array }[]; readonly overrun: boolean };
  indexOf(link: string): number | undefined;
  nameOf(index: number): string | undefined;
  close(): void;
}

/** Open in the calling thread's namespace. `groups` is the multicast bit mask to listen to. */
export function openNetlinkSocket(groups = 0): NetlinkSocket {
  return openKernelSocket(groups);
}

/** In the namespace that the socket is in, also when its path is gone. */
function openBeside(fd: number): KernelSocket {
  const netns = check(libc().ioctl(fd, SIOCGSKNS, new Uint8Array()), "find the namespace of a netlink socket");
  try {
    return inNetns(netns, () => openKernelSocket(0));
  } finally {
    libc().close(netns);
  }
}

function openKernelSocket(groups: number): KernelSocket {
  const fd = check(libc().socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE), "open a netlink socket");
  try {
    configure(fd, groups);
  } catch (error) {
    libc().close(fd);
    throw error;
  }
  return new KernelSocket(fd);
}

function configure(fd: number, groups: number): void {
  const set = (level: number, name: number, ...words: number[]) =>
    libc().setsockopt(fd, level, name, new Uint8Array(Uint32Array.from(words).buffer));
  const room = groups === 0 ? RECEIVE_QUEUE_OCTETS : EVENT_QUEUE_OCTETS;
  if (set(SOL_SOCKET, SO.receiveBufferForce, room) < 0)
    check(set(SOL_SOCKET, SO.receiveBuffer, room), "set the receive buffer of a netlink socket");
  check(set(SOL_SOCKET, SO.receiveTimeout, ANSWER_TIMEOUT_SEC, 0, 0, 0), "set the time-out of a netlink socket");
  for (const option of Object.values(NETLINK)) check(set(SOL_NETLINK, option, 1), `set netlink option ${option}`);
  const address = new Uint8Array(12);
  viewOf(address).setUint16(0, AF_NETLINK, true);
  viewOf(address).setUint32(8, groups, true);
  check(libc().bind(fd, address), "bind a netlink socket");
}

class KernelSocket implements NetlinkSocket {
  readonly #fd: number;
  readonly #buffer = (receiveBuffer ??= new Uint8Array(RECEIVE_OCTETS));
  #sequence = 0;
  #open = true;

  constructor(fd: number) {
    this.#fd = fd;
  }

  exchange(messages: readonly Uint8Array[]): readonly Ack[] {
    if (messages.length === 0) return [];
    this.#mustBeOpen();
    // Failures always answer; of the successes only the last needs to, to know that all are done.
    const numbers = messages.map((message, i) => this.#stamp(message, i === messages.length - 1 ? NLM_F.ack : 0));
    const answers: Ack[] = messages.map(() => ({ errno: 0 }));
    check(libc().send(this.#fd, joinAligned(messages), 0), `send ${messages.length} netlink messages`);
    return this.#answers(answers, numbers[0] ?? 0);
  }

  async exchangeApart(message: Uint8Array): Promise<Ack> {
    this.#mustBeOpen();
    const apart = openBeside(this.#fd);
    try {
      const number = apart.#stamp(message, NLM_F.ack);
      check(await libc().sendApart(apart.#fd, message, 0), "send a netlink message");
      return apart.#answers([{ errno: 0 }], number)[0] ?? { errno: 0 };
    } finally {
      apart.close();
    }
  }

  /** Receive until the last one is answered. */
  #answers(answers: Ack[], first: number): readonly Ack[] {
    for (let done = false; !done;) {
      for (const message of decodeMessages(this.#receive(`${answers.length} netlink messages`))) {
        const position = (message.sequence - first) >>> 0;
        if (message.type !== NLMSG.error || position >= answers.length) continue;
        answers[position] = decodeAck(message);
        if (position === answers.length - 1) done = true;
      }
    }
    return answers;
  }

  dump(request: Uint8Array, op: string): readonly Uint8Array[] {
    this.#mustBeOpen();
    for (let attempt = 0; attempt < MAX_INTERRUPTED_DUMPS; attempt++) {
      const bodies = this.#dumpOnce(request, op);
      if (bodies) return bodies;
    }
    throw new Error(`Cannot ${op}: the tables changed during ${MAX_INTERRUPTED_DUMPS} reads in a row; try again`);
  }

  /** Undefined if the kernel says that the dump was torn by a change. */
  #dumpOnce(request: Uint8Array, op: string): Uint8Array[] | undefined {
    const wanted = this.#stamp(request, 0);
    check(libc().send(this.#fd, request, 0), op);
    const bodies: Uint8Array[] = [];
    let interrupted = false;
    for (;;) {
      // Each datagram is copied once; what is decoded from it are views.
      for (const message of decodeMessages(this.#receive(op).slice())) {
        if (message.sequence !== wanted) continue;
        if (message.flags & NLM_F.dumpInterrupted) interrupted = true;
        if (message.type === NLMSG.error || message.type === NLMSG.done) {
          const answer = message.type === NLMSG.error ? decodeAck(message) : decodeDone(message);
          if (answer.errno !== 0) throw new NetlinkError({ op, errno: answer.errno, kernelMessage: answer.kernelMessage });
          return interrupted ? undefined : bodies;
        }
        bodies.push(message.body);
        if (!(message.flags & NLM_F.multi)) return bodies;
      }
    }
  }

  receiveEvents(): ReturnType<NetlinkSocket["receiveEvents"]> {
    const messages: { type: number; body: Uint8Array }[] = [];
    let overrun = false;
    while (this.#open) {
      const got = libc().recv(this.#fd, this.#buffer, MSG_DONTWAIT);
      if (got === -ERRNO.EAGAIN || got === -ERRNO.EINTR) break;
      if (got === -ERRNO.ENOBUFS) overrun = true;
      else for (const message of decodeMessages(this.#buffer.slice(0, check(got, "receive netlink events")))) messages.push(message);
    }
    return { messages, overrun };
  }

  indexOf(link: string): number | undefined {
    this.#mustBeOpen();
    return indexOf(this.#fd, link);
  }

  nameOf(index: number): string | undefined {
    return this.#open ? nameOf(this.#fd, index) : undefined;
  }

  close(): void {
    if (this.#open) libc().close(this.#fd);
    this.#open = false;
  }

  /** A descriptor that was closed may be another file's by now. */
  #mustBeOpen(): void {
    if (!this.#open) throw new Error("Cannot use a closed netlink socket: open another");
  }

  #stamp(message: Uint8Array, extraFlags: number): number {
    const view = viewOf(message);
    view.setUint16(6, view.getUint16(6, true) | extraFlags, true);
    this.#sequence = (this.#sequence + 1) >>> 0;
    view.setUint32(8, this.#sequence, true);
    return this.#sequence;
  }

  #receive(op: string): Uint8Array {
    let got: number;
    // A receive with a time-out is not restarted after a signal. Source: signal(7).
    do got = libc().recv(this.#fd, this.#buffer, 0);
    while (got === -ERRNO.EINTR);
    return this.#buffer.subarray(0, check(got, `receive the kernel's answer to ${op}`));
  }
}

function indexOf(fd: number, link: string): number | undefined {
  const name = encoder.encode(link);
  if (name.length === 0 || name.length >= IFNAMSIZ) return undefined;
  const request = new Uint8Array(IFREQ_OCTETS);
  request.set(name);
  const result = libc().ioctl(fd, SIOCGIFINDEX, request);
  if (result === -ERRNO.ENODEV) return undefined;
  check(result, `find the index of link ${link}`);
  return viewOf(request).getInt32(IFNAMSIZ, true);
}

function nameOf(fd: number, index: number): string | undefined {
  const request = new Uint8Array(IFREQ_OCTETS);
  viewOf(request).setInt32(IFNAMSIZ, index, true);
  const result = libc().ioctl(fd, SIOCGIFNAME, request);
  if (result === -ERRNO.ENODEV || result === -ERRNO.ENXIO) return undefined;
  check(result, `find the name of link ${index}`);
  return decoder.decode(request.subarray(0, request.indexOf(0)));
}

function joinAligned(messages: readonly Uint8Array[]): Uint8Array {
  if (messages.length === 1) return messages[0] ?? new Uint8Array();
  const joined = new Uint8Array(messages.reduce((sum, message) => sum + align4(message.length), 0));
  let at = 0;
  for (const message of messages) {
    joined.set(message, at);
    at += align4(message.length);
  }
  return joined;
}

function check(result: number, op: string): number {
  if (result < 0)
    throw new NetlinkError({ op, errno: -result, hint: result === -ERRNO.EAGAIN ? "the kernel did not answer in time" : undefined });
  return result;
}
