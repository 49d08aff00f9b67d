/** What was read or written last, up to a number of records, parsed once for as long as it is the same. */
import type { KeyValue } from "@calico/datastore";
import { err, ok } from "@calico/model";
import type { Result } from "@calico/model";

/** A record that does not parse, and why. */
export type BrokenRecord = { readonly key: string; readonly problem: string };

export type Remembered = { readonly kv: KeyValue; parsed?: unknown; problem?: string };

export interface Memory {
  get(key: string): Remembered | undefined;
  /** `kv` undefined: it is gone. An answer that was overtaken by a newer one is passed over. */
  remember(key: string, kv: KeyValue | undefined, parsed?: unknown): void;
  forget(key: string): void;
  parse<T>(key: string, entry: Remembered, parse: (text: string) => Result<T, string>): Result<T, string>;
  broken(): readonly BrokenRecord[];
}

/** Enough for the blocks of a node and the handles of its pods. */
const REMEMBERED = 1024;

/** `onBroken` is told once of each record that does not parse, and again when it was written and still does not. */
export function makeMemory(onBroken: (broken: BrokenRecord) => void): Memory {
  const remembered = new Map<string, Remembered>();
  return {
    get: (key) => remembered.get(key),
    remember(key, kv, parsed) {
      const known = remembered.get(key);
      if (kv !== undefined && known !== undefined && known.kv.modRevision > kv.modRevision) return;
      remembered.delete(key);
      if (kv === undefined) return;
      remembered.set(key, known?.kv.modRevision === kv.modRevision ? known : { kv, ...(parsed === undefined ? {} : { parsed }) });
      for (const oldest of remembered.keys()) {
        if (remembered.size <= REMEMBERED) break;
        remembered.delete(oldest);
      }
    },
    forget: (key) => void remembered.delete(key),
    parse<T>(key: string, entry: Remembered, parse: (text: string) => Result<T, string>) {
      if (entry.parsed === undefined && entry.problem === undefined) {
        const outcome = parse(entry.kv.value);
        if (outcome.ok) entry.parsed = outcome.value;
        else onBroken({ key, problem: (entry.problem = outcome.error) });
      }
      return entry.problem === undefined ? ok(entry.parsed as T) : err(entry.problem);
    },
    broken: () => [...remembered].flatMap(([key, { problem }]) => (problem === undefined ? [] : [{ key, problem }])),
  };
}
