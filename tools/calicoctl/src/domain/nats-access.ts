/** What each bearer of NATS credentials may do, in the forms that a NATS server is told it. */
import { permissionsFor, type Principal, renderAuthorization, ROLES } from "@calico/bus";
import { CliError } from "./cli-error.ts";

/** `ROLE/NAME` each, such as `node/node1`. */
export function parsePrincipals(texts: readonly string[]): readonly Principal[] {
  const principals = texts.map(parsePrincipal);
  const twice = principals.find(({ node }, i) => principals.findIndex((other) => other.node === node) !== i);
  if (twice !== undefined) throw new CliError(`'${twice.node}' is there twice: give each bearer a name of its own`);
  return principals;
}

function parsePrincipal(text: string): Principal {
  const at = text.indexOf("/");
  const role = ROLES.find((known) => known === text.slice(0, Math.max(at, 0)));
  const node = text.slice(at + 1);
  if (role === undefined) throw new CliError(`unknown bearer '${text}': expected ROLE/NAME, where ROLE is one of ${ROLES.join(", ")}`);
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(node))
    throw new CliError(
      `bad name '${node}' of '${text}': expected the name that the process has by --node, lower case letters, digits, - and .`,
    );
  return { role, node };
}

/** The `authorization` block of a server's configuration file; passwords come from the server's environment. */
export function natsConf(principals: readonly Principal[]): string {
  const users = principals.map((principal) => ({
    ...principal,
    user: principal.node,
    password: { env: passwordVariable(principal.node) },
  }));
  const twice = users.find(({ password }, i) => users.findIndex((other) => other.password.env === password.env) !== i);
  if (twice !== undefined)
    throw new CliError(`'${twice.node}' and another name would have the same variable ${twice.password.env}: ask for them one at a time`);
  const head = [
    "# nats-server takes each password, or its bcrypt hash, from its environment, and does not start without it. Always in double quotes:",
    ...users.map(({ password }) => `#   ${password.env}='"$2a$…"'`),
  ];
  return `${head.join("\n")}\n${renderAuthorization(users)}`.trimEnd();
}

function passwordVariable(name: string): string {
  return `NATS_PASSWORD_${name.toUpperCase().replace(/[^A-Z0-9]/g, "_")}`;
}

/** Commands of nsc, for servers in operator mode: users of the current account. */
export function nscCommands(principals: readonly Principal[]): string {
  return principals
    .map((principal) => {
      const { publish, subscribe } = permissionsFor(principal);
      return `nsc add user --name '${principal.node}' --allow-pub '${publish.allow.join(",")}' --allow-sub '${subscribe.allow.join(",")}'`;
    })
    .join("\n");
}

export function natsObjects(principals: readonly Principal[]): readonly object[] {
  return principals.map((principal) => ({ role: principal.role, name: principal.node, permissions: permissionsFor(principal) }));
}
