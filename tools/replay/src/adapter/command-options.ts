/** Options that commands share, and their parsing. */
import type { NatsAccess } from "@calico/bus";
import { natsAccessOptions } from "@calico/daemon";
import { isKind, type Kind, KINDS, parseCidr, type Cidr } from "@calico/model";
import { type Command, InvalidArgumentError, Option } from "commander";
import { parsePoint, type Point, POINT_HELP } from "../domain/point.ts";

export type SourceOptions = Omit<NatsAccess, "node"> & {
  readonly natsName: string;
  readonly nats: readonly string[];
  readonly archive?: string;
  readonly timeout: number;
};
export type FilterOptions = { readonly kind?: readonly Kind[]; readonly name?: string; readonly namespace?: string };

/** Where the history comes from. */
export function withSource(command: Command): Command {
  command
    .addOption(
      new Option("--nats <urls>", "the event log's servers, comma separated")
        .env("NATS_URL")
        .argParser(list)
        .default(["nats://127.0.0.1:4222"], "nats://127.0.0.1:4222"),
    )
    .addOption(new Option("--archive <file>", "read this archive in place of a live log"))
    .addOption(new Option("--timeout <seconds>", "how long to wait for the servers").argParser(positive).default(5));
  command.addOption(
    new Option("--nats-name <name>", "the name that the NATS credentials were made for").env("NODENAME").default("calico-replay"),
  );
  for (const option of natsAccessOptions()) command.addOption(option);
  return command;
}

export function kindOption(): Option {
  return new Option("--kind <kinds>", "only these kinds, comma separated, such as NetworkPolicy or networkpolicies").argParser(kinds);
}

export function pointOption(flags: string, text: string): Option {
  return new Option(flags, `${text}: ${POINT_HELP}`).argParser(point);
}

export function point(text: string): Point {
  const parsed = parsePoint(text, Date.now);
  if (!parsed.ok) throw new InvalidArgumentError(parsed.error);
  return parsed.value;
}

export function list(text: string): readonly string[] {
  return text.split(",").map((part) => part.trim());
}

function kinds(text: string): readonly Kind[] {
  return list(text).map((name) => {
    const kind = isKind(name) ? name : byName.get(name.toLowerCase());
    if (kind === undefined) throw new InvalidArgumentError(`"${name}" is no kind of the log; those are ${Object.keys(KINDS).join(", ")}`);
    return kind;
  });
}

const byName: ReadonlyMap<string, Kind> = new Map(
  Object.values(KINDS).flatMap(({ kind, plural }) => [[kind.toLowerCase(), kind] as const, [plural, kind] as const]),
);

export function positive(text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new InvalidArgumentError("expected a number above 0");
  return number;
}

export function families(text: string): readonly (4 | 6)[] {
  const known: Readonly<Record<string, readonly (4 | 6)[]>> = { "4": [4], "6": [6], "4,6": [4, 6] };
  const found = known[text];
  if (found === undefined) throw new InvalidArgumentError("expected 4, 6 or 4,6");
  return found;
}

export function cidrs(text: string): readonly Cidr[] {
  return list(text).map((part) => {
    const cidr = parseCidr(part);
    if (!cidr.ok) throw new InvalidArgumentError(cidr.error);
    return cidr.value;
  });
}
