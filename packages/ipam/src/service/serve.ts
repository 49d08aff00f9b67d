/** Answers the lines of the socket. Each datastore that is asked for gets one library of its own, which lives on. */
import { StoreUnavailable } from "@calico/datastore";
import { parseLine, renderLine, requestSchema, targetKey } from "../domain/protocol.ts";
import type { EtcdTarget, WireAnswer, WireRequest } from "../domain/protocol.ts";
import type { Ipam } from "../ports.ts";

export type IpamOf = (target: EtcdTarget) => Ipam;

export type Served = { readonly op: string; readonly seconds: number; readonly outcome: "ok" | "refused" | "fault" };

/** The answer line to one request line; never throws. */
export async function answerLine(
  line: string,
  o: {
    readonly ipamOf: IpamOf;
    readonly defaultTarget: EtcdTarget;
    readonly onServed: (served: Served) => void;
    readonly now: () => number;
  },
): Promise<string> {
  const json = parseLine(line);
  const request = requestSchema.safeParse(json);
  if (!request.success) {
    const why = request.error.issues.map((i) => `${i.path.join(".")}: ${i.message}`).join("; ");
    return renderLine({ id: idOf(json), fault: { message: `Cannot understand the request: ${why}`, unavailable: false } });
  }
  const start = o.now();
  const answer = await perform(request.data, o.ipamOf(request.data.etcd ?? o.defaultTarget));
  o.onServed({ op: request.data.op, seconds: (o.now() - start) / 1000, outcome: outcomeOf(answer) });
  return renderLine(answer);
}

async function perform({ id, op, args }: WireRequest, ipam: Ipam): Promise<WireAnswer> {
  try {
    const operations = ipam as unknown as Record<typeof op, (...args: readonly unknown[]) => Promise<unknown>>;
    return { id, value: await operations[op](...args) };
  } catch (e) {
    return { id, fault: { message: e instanceof Error ? e.message : String(e), unavailable: e instanceof StoreUnavailable } };
  }
}

function outcomeOf(answer: WireAnswer): Served["outcome"] {
  if ("fault" in answer) return "fault";
  const refused = typeof answer.value === "object" && answer.value !== null && "ok" in answer.value && answer.value.ok === false;
  return refused ? "refused" : "ok";
}

function idOf(json: unknown): number {
  return typeof json === "object" && json !== null && "id" in json && typeof json.id === "number" ? json.id : 0;
}

/** At most this many datastores at once; the one not used for longest is closed. */
const MAX_TARGETS = 8;

/** Opened things by datastore. `open` is told the target; `close` ends what fell out. */
export function makeTargetCache<T>(o: {
  readonly open: (target: EtcdTarget) => T;
  readonly close: (value: T) => void;
}): (target: EtcdTarget) => T {
  const known = new Map<string, T>();
  return (target) => {
    const key = targetKey(target);
    const value = known.get(key) ?? o.open(target);
    known.delete(key);
    known.set(key, value);
    for (const [oldest, old] of known) {
      if (known.size <= MAX_TARGETS) break;
      known.delete(oldest);
      o.close(old);
    }
    return value;
  };
}
