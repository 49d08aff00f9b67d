/** Changes to state: the last change of each object. */
import type { LogRecord } from "./history.ts";

export type State = ReadonlyMap<string, LogRecord>;

/** What there is after the changes, by key. Values are parsed by who wants them. */
export function fold(records: Iterable<LogRecord>): State {
  const state = new Map<string, LogRecord>();
  for (const record of records) {
    if (record.op === "put") state.set(record.key, record);
    else state.delete(record.key);
  }
  return state;
}

export type StateDiff = {
  readonly added: readonly LogRecord[];
  readonly removed: readonly LogRecord[];
  readonly changed: readonly { readonly from: LogRecord; readonly to: LogRecord }[];
};

/** By key, in order of keys. An object that was removed and made again the same way is no difference. */
export function diffStates(from: State, to: State, wants: (record: LogRecord) => boolean): StateDiff {
  const added: LogRecord[] = [];
  const removed: LogRecord[] = [];
  const changed: { from: LogRecord; to: LogRecord }[] = [];
  for (const key of [...new Set([...from.keys(), ...to.keys()])].toSorted(byText)) {
    const before = from.get(key);
    const after = to.get(key);
    const any = before ?? after;
    if (any === undefined || !wants(any)) continue;
    if (before === undefined && after !== undefined) added.push(after);
    else if (before !== undefined && after === undefined) removed.push(before);
    else if (before !== undefined && after !== undefined && before.data !== after.data) changed.push({ from: before, to: after });
  }
  return { added, removed, changed };
}

export const byText = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
