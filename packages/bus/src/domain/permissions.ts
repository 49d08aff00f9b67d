/**
 * What a credential of each role may do on NATS, and the server's configuration that says so.
 *
 * NATS permissions allow subjects; all that is not allowed is refused. JetStream is asked over subjects too ($JS.API.>),
 * so "may read the stream CALICO, may not change it" is a list of subjects.
 * Source: nats-server 2.9 JetStream API subjects and authorization blocks (users, permissions).
 */
import { escapeToken, HEARTBEAT_SUBJECT, inboxPrefixOf, STREAM, SUBJECT_ROOT, TAIL_SUBJECT } from "./subject.ts";

/** A node's agents, the syncers, kube-controllers, and who only looks: an operator's tools, replay. */
export const ROLES = ["node", "syncer", "controller", "reader"] as const;
export type Role = (typeof ROLES)[number];

export interface Principal {
  readonly role: Role;
  /** The node's name; of the other roles, the --node that the process is given. */
  readonly node: string;
}

export interface Permissions {
  readonly publish: { readonly allow: readonly string[] };
  readonly subscribe: { readonly allow: readonly string[] };
}

/** The components that speak for a node. */
const NODE_COMPONENTS = ["felix", "bgp", "proxy-nat", "ipam", "cni"] as const;
const NODE_LOG = "CALICO_NODE";
const IPAM_LOG = "CALICO_IPAM";

export function permissionsFor({ role, node }: Principal): Permissions {
  const inbox = `${inboxPrefixOf(node)}.>`;
  const allow = (publish: readonly string[], subscribe: readonly string[]): Permissions => ({
    publish: { allow: publish },
    subscribe: { allow: [inbox, ...subscribe] },
  });
  switch (role) {
    case "node":
      return allow([...readLog(STREAM), ...reports(node, NODE_COMPONENTS), streamInfo(NODE_LOG)], [HEARTBEAT_SUBJECT, TAIL_SUBJECT]);
    case "controller":
      return allow([...reports(node, ["kube-controllers"]), "calico.ipam.>", streamInfo(NODE_LOG), streamInfo(IPAM_LOG)], []);
    case "reader":
      return allow([...readLog(STREAM), ...readLog(NODE_LOG), ...readLog(IPAM_LOG)], [HEARTBEAT_SUBJECT, TAIL_SUBJECT]);
    case "syncer":
      return allow(
        [
          `${SUBJECT_ROOT}.>`,
          HEARTBEAT_SUBJECT,
          TAIL_SUBJECT,
          ...reports(node, ["syncer"]),
          ...[STREAM, NODE_LOG, IPAM_LOG].flatMap(ownLog),
        ],
        [],
      );
  }
}

/** `calico.status.<component>.<node>` and `calico.applied.…`; CNI's calls. */
function reports(node: string, components: readonly string[]): readonly string[] {
  const name = escapeToken(node);
  const own = components.flatMap((component) => [
    `calico.status.${escapeToken(component)}.${name}`,
    `calico.applied.${escapeToken(component)}.${name}`,
  ]);
  return components.includes("cni") ? [...own, `calico.cni.${name}.>`, `calico.event.*.${name}.>`] : own;
}

function streamInfo(stream: string): string {
  return `$JS.API.STREAM.INFO.${stream}`;
}

/**
 * Messages by their sequence; and a consumer without a durable name: made, looked at, pulled from and removed. Consumers
 * have random names, and nobody but the syncer may list them. Flow control answers go to the consumer's own subject.
 */
function readLog(stream: string): readonly string[] {
  return [
    streamInfo(stream),
    `$JS.API.DIRECT.GET.${stream}`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.INFO.${stream}.*`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
    `$JS.API.CONSUMER.DELETE.${stream}.*`,
  ];
}

/** The syncer makes the streams, forgets tombstones by purge, and drops a log that it cannot continue. */
function ownLog(stream: string): readonly string[] {
  const verbs = ["CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE"];
  return [...readLog(stream), ...verbs.map((verb) => `$JS.API.STREAM.${verb}.${stream}`)];
}

export interface NatsUser extends Principal {
  readonly user: string;
  /** The password itself, or its bcrypt hash that begins with `$2a$`; or which variable of the server's environment has it. */
  readonly password: string | { readonly env: string };
}

/** The `authorization` block of nats-server's configuration: who may log in, and what each may do. */
export function renderAuthorization(users: readonly NatsUser[]): string {
  return ["authorization {", "  users = [", ...users.map(renderUser), "  ]", "}", ""].join("\n");
}

function renderUser(user: NatsUser): string {
  const { publish, subscribe } = permissionsFor(user);
  const list = (subjects: readonly string[]) => subjects.map(quote).join(", ");
  const password = typeof user.password === "string" ? quote(user.password) : `$${user.password.env}`;
  return [
    `    { user: ${quote(user.user)}, password: ${password},`,
    `      permissions: { publish: { allow: [${list(publish.allow)}] },`,
    `                     subscribe: { allow: [${list(subscribe.allow)}] } } }`,
  ].join("\n");
}

/** A double quoted string of the server's configuration language; `$` begins a variable only outside of quotes. */
function quote(text: string): string {
  if (/[\u0000-\u001f\u007f]/.test(text)) throw new Error("Cannot write a NATS user: control characters in a name or password");
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}
