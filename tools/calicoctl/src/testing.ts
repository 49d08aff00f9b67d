/** A command line without a process: files in a map, a fake store, what was printed in a string. */
import { resourceClient } from "@calico/datastore";
import { makeFakeStore } from "@calico/datastore/testing";
import { makeIpam } from "@calico/ipam";
import { CommanderError } from "commander";
import { parseAllDocuments, stringify } from "yaml";
import { exitCodeOf, makeProgram } from "./commands.ts";
import { CliError } from "./domain/cli-error.ts";
import type { PastMessage } from "@calico/bus";
import type { FakeStore } from "@calico/datastore/testing";
import type { Context, Io } from "./ports.ts";

export type Ran = { readonly code: number; readonly out: string; readonly err: string };

export type FakeCli = {
  readonly store: FakeStore;
  /** Written files are here too. */
  readonly files: Map<string, string>;
  /** What each socket answers. */
  readonly sockets: Map<string, unknown>;
  /** What the event log keeps: `log calico.v3.…` → messages. */
  readonly past: Map<string, readonly PastMessage[]>;
  /** Runs `calicoctl ARGS`; a text with blanks is split at them. */
  run(args: string | readonly string[]): Promise<Ran>;
};

export function makeFakeCli(files: Readonly<Record<string, string>> = {}): FakeCli {
  const store = makeFakeStore();
  const contents = new Map(Object.entries(files));
  const sockets = new Map<string, unknown>();
  const past: FakeCli["past"] = new Map();
  return {
    store,
    files: contents,
    sockets,
    past,
    async run(args) {
      const said = { out: "", err: "" };
      const io = fakeIo(contents, sockets, (text) => (said.out += text));
      const program = makeProgram(() => fakeContext(io, store, past), {
        out: (text) => (said.out += text),
        err: (text) => (said.err += text),
      });
      try {
        await program.parseAsync(typeof args === "string" ? args.split(" ") : [...args], { from: "user" });
        return { code: 0, ...said };
      } catch (error) {
        if (error instanceof CommanderError) return { code: exitCodeOf(error), ...said };
        if (error instanceof CliError) return { code: exitCodeOf(error), out: said.out, err: `${said.err}${error.message}\n` };
        throw error;
      }
    },
  };
}

function fakeContext(io: Io, store: FakeStore, past: FakeCli["past"]): Context & AsyncDisposable {
  const client = resourceClient(store, { ipam: async () => makeIpam({ store }), settleMs: 0 });
  return {
    io,
    store: async () => store,
    client: async () => client,
    ipam: async () => makeIpam({ store }),
    pods: async () => [],
    async past() {
      return { read: async (stream, filter) => past.get(`${stream} ${filter}`) ?? [], async [Symbol.asyncDispose]() {} };
    },
    async [Symbol.asyncDispose]() {},
  };
}

function fakeIo(files: Map<string, string>, sockets: ReadonlyMap<string, unknown>, write: (text: string) => void): Io {
  return {
    print: (line) => write(line.endsWith("\n") ? line : `${line}\n`),
    async readText(path) {
      const text = files.get(path);
      if (text === undefined) throw new CliError(`cannot read ${path}: no such file or folder`);
      return text;
    },
    resourceFiles: async (path) => (path.endsWith("/") ? [...files.keys()].filter((file) => file.startsWith(path)).sort() : [path]),
    writeText: async (path, text) => void files.set(path, text),
    parseYaml: async (_file, text) => [...parseAllDocuments(text)].map((document) => document.toJS() as unknown),
    renderYaml: async (value) => stringify(value, { sortMapEntries: true }),
    askSocket: async (path) => sockets.get(path),
  };
}
