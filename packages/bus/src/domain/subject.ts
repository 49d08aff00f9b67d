/** Which subject carries a key. Two keys never share one: the last message of a subject is the state of its key. */
import { IPAM_PREFIX, type ParsedKey, parseKey, RESOURCES_PREFIX } from "@calico/model";
import { IN_FLIGHT } from "./fence.ts";

export const STREAM = "CALICO";
export const SUBJECT_ROOT = "calico.v3";
/** Kinds never begin with an underscore, so these cannot meet a kind's subject. */
export const FENCE_SUBJECT = `${SUBJECT_ROOT}._log.fence`;
/** What a claim uses sequences up with. A subject each: on one, older ones would be forgotten, and replay would tell of a hole. */
export const GAP_SUBJECTS = Array.from({ length: IN_FLIGHT - 1 }, (_, i) => `${SUBJECT_ROOT}._log.gap.${i}`);
export const COMPLETE_SUBJECT = `${SUBJECT_ROOT}._log.complete`;
export const HEARTBEAT_SUBJECT = "calico.heartbeat";
/** Frames: what the log has stored, to all readers at once. */
export const TAIL_SUBJECT = "calico.tail";

/** What the log carries of a key: `ignored` keys are known and not for the bus, `unknown` ones are nobody's. */
export type KeyUse =
  | { readonly kind: "carried"; readonly ref: ParsedKey; readonly subject: string }
  | { readonly kind: "ignored" }
  | { readonly kind: "unknown" };

/** A header holds one line. */
const UNPRINTABLE = /[\u0000-\u001f\u007f]/;

export function useOfKey(key: string): KeyUse {
  const ref = UNPRINTABLE.test(key) ? undefined : parseKey(key);
  if (ref === undefined) return { kind: key.startsWith(RESOURCES_PREFIX) ? "unknown" : "ignored" };
  const fromIpam = key.startsWith(IPAM_PREFIX);
  if (fromIpam) return { kind: "carried", ref, subject: ipamSubject(key.slice(IPAM_PREFIX.length)) };
  // v3 objects at the paths of IPAM's kinds are not IPAM's records. Source: facts §2.1.9.
  if (ref.ref.kind === "IPAMBlock" || ref.ref.kind === "BlockAffinity") return { kind: "ignored" };
  const [plural = "", ...rest] = key.slice(RESOURCES_PREFIX.length).split("/");
  const [namespace, name] = rest.length === 2 ? [escapeToken(rest[0] ?? ""), rest[1]] : ["_", rest[0]];
  return { kind: "carried", ref, subject: join(plural, namespace, escapeToken(name ?? "")) };
}

/** `assignment/ipv4/block/10.0.0.0-26` and `host/node1/ipv4/block/10.0.0.0-26`. */
function ipamSubject(rest: string): string {
  const parts = rest.split("/");
  if (parts[0] === "assignment") return join("ipamblocks", "_", escapeToken(parts.at(-1) ?? ""));
  const [type = "", host = "", , , cidr = ""] = parts;
  return join("blockaffinities", "_", [type, host, cidr].map(escapeToken).join(":"));
}

function join(...tokens: readonly string[]): string {
  return [SUBJECT_ROOT, ...tokens].join(".");
}

/** A name as one token of a subject: all but letters, digits, `-` and `_` as the `%XX` of its UTF-8 octets. A lone `_` means "no namespace". */
export function escapeToken(text: string): string {
  if (text === "_") return "%5F";
  return text.replace(/[^A-Za-z0-9_-]/gu, (char) =>
    [...new TextEncoder().encode(char)].map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** Where the answers to a node's requests go: its own, so that no other node may listen. */
export function inboxPrefixOf(node: string): string {
  return `_INBOX_${escapeToken(node)}`;
}
