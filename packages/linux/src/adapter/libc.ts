/**
 * The few C library calls that Node's own API does not offer, on both runtimes: Deno.dlopen or koffi, chosen when first used.
 * Every call answers ≥ 0, or the negative errno, read right after the call. All are synchronous but `sendApart`, whose errno is another
 * thread's and out of reach: any failure of it is EIO.
 */
import { createRequire } from "node:module";
import { promisify } from "node:util";
import type Koffi from "koffi";
import { ERRNO } from "../domain/errno.ts";

export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array): number;
  send(fd: number, data: Uint8Array, flags: number): number;
  /** `send` on another thread, for what the kernel takes long to do; this one goes on meanwhile. */
  sendApart(fd: number, data: Uint8Array, flags: number): Promise<number>;
  recv(fd: number, into: Uint8Array, flags: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  setns(fd: number, kind: number): number;
  close(fd: number): number;
}

/** The calls as C declares them; both back ends provide these and an errno. */
type Raw = {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  send(fd: number, data: Uint8Array, length: number, flags: number): number | bigint;
  sendApart(fd: number, data: Uint8Array, length: number, flags: number): Promise<number | bigint>;
  recv(fd: number, into: Uint8Array, length: number, flags: number): number | bigint;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  setns(fd: number, kind: number): number;
  close(fd: number): number;
};

const LIBRARY = "libc.so.6";
let opened: Libc | undefined;

/** The C library of this process. */
export function libc(): Libc {
  opened ??= "Deno" in globalThis ? wrap(...openDeno()) : wrap(...openKoffi());
  return opened;
}

function wrap(raw: Raw, errno: () => number): Libc {
  const answer = (result: number | bigint): number => (result < 0 ? -errno() : Number(result));
  return {
    socket: (domain, type, protocol) => answer(raw.socket(domain, type, protocol)),
    bind: (fd, address) => answer(raw.bind(fd, address, address.length)),
    send: (fd, data, flags) => answer(raw.send(fd, data, data.length, flags)),
    async sendApart(fd, data, flags) {
      const sent = await raw.sendApart(fd, data, data.length, flags);
      return sent < 0 ? -ERRNO.EIO : Number(sent);
    },
    recv: (fd, into, flags) => answer(raw.recv(fd, into, into.length, flags)),
    setsockopt: (fd, level, name, value) => answer(raw.setsockopt(fd, level, name, value, value.length)),
    ioctl: (fd, request, argument) => answer(raw.ioctl(fd, request, argument)),
    setns: (fd, kind) => answer(raw.setns(fd, kind)),
    close: (fd) => answer(raw.close(fd)),
  };
}

/** The part of Deno's FFI used here; its own type declarations are not visible to the Node compiler. */
type DenoFfi = {
  dlopen(
    path: string,
    symbols: Record<string, { name?: string; parameters: string[]; result: string; nonblocking?: boolean }>,
  ): { symbols: Record<string, (...a: never[]) => unknown> };
  UnsafePointerView: { new (pointer: object): { getInt32(offset?: number): number } };
};

function openDeno(): [Raw, () => number] {
  const deno = (globalThis as unknown as { Deno: DenoFfi }).Deno;
  const { symbols } = deno.dlopen(LIBRARY, {
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
    sendApart: { name: "send", parameters: ["i32", "buffer", "usize", "i32"], result: "isize", nonblocking: true },
    recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
    setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
    ioctl: { parameters: ["i32", "usize", "buffer"], result: "i32" },
    setns: { parameters: ["i32", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
    __errno_location: { parameters: [], result: "pointer" },
  });
  // The address of errno is fixed per thread, and an isolate stays on its thread.
  const errnoView = new deno.UnsafePointerView((symbols["__errno_location"] as () => object)());
  return [symbols as unknown as Raw, () => errnoView.getInt32(0)];
}

function openKoffi(): [Raw, () => number] {
  // Not an import: koffi is a native module that only Node needs, and only once a kernel call is made.
  const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi;
  const lib = koffi.load(LIBRARY);
  const send = lib.func("int64_t send(int fd, _In_ uint8_t *data, size_t length, int flags)");
  const raw = {
    socket: lib.func("int socket(int domain, int type, int protocol)"),
    bind: lib.func("int bind(int fd, _In_ uint8_t *address, uint32_t length)"),
    send,
    sendApart: promisify(send.async.bind(send)),
    recv: lib.func("int64_t recv(int fd, uint8_t *into, size_t length, int flags)"),
    setsockopt: lib.func("int setsockopt(int fd, int level, int name, _In_ uint8_t *value, uint32_t length)"),
    ioctl: lib.func("int ioctl(int fd, unsigned long request, uint8_t *argument)"),
    setns: lib.func("int setns(int fd, int kind)"),
    close: lib.func("int close(int fd)"),
  };
  return [raw as unknown as Raw, () => koffi.errno()];
}
