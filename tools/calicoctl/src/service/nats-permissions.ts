/** `nats permissions`: needs neither datastore nor event log. */
import type { Principal } from "@calico/bus";
import { natsConf, natsObjects, nscCommands, parsePrincipals } from "../domain/nats-access.ts";
import type { Io } from "../ports.ts";

export type NatsFormat = "conf" | "nsc" | "json" | "yaml";

export async function natsPermissions(io: Io, o: { readonly bearers: readonly string[]; readonly format: NatsFormat }): Promise<void> {
  io.print(await rendered(io, parsePrincipals(o.bearers), o.format));
}

async function rendered(io: Io, principals: readonly Principal[], format: NatsFormat): Promise<string> {
  switch (format) {
    case "conf":
      return natsConf(principals);
    case "nsc":
      return nscCommands(principals);
    case "json":
      return JSON.stringify(natsObjects(principals), null, 2);
    case "yaml":
      return (await io.renderYaml(natsObjects(principals))).trimEnd();
  }
}
