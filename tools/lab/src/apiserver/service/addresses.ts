import { formatCidr } from "@calico/model";
import { ApiError, invalid } from "../domain/api-error.ts";
import { type ApiObject, mapsAt, textAt } from "../domain/api-object.ts";
import { kindNamed } from "../domain/kinds.ts";
import { carryClusterIp, clusterIpProblem, pickClusterIp, withClusterIp, withNodePorts } from "../domain/service-address.ts";
import type { ServerPorts } from "../ports.ts";
import { IP_PREFIX, PORT_PREFIX } from "./storage.ts";

/** ClusterIPs and node ports for Services. The choice is made here; that nobody else has it is made sure of by the write. */
export interface Addresses {
  /** The Service with the addresses that its type needs. `old` keeps what it has. */
  complete(service: ApiObject, old: ApiObject | undefined): Promise<ApiObject>;
  /** Throws 422 if what is taken was asked for by name; returns if another can be picked. */
  refuseIfAsked(sent: ApiObject, taken: string): void;
}

export function makeAddresses({ store, serviceCidr }: Pick<ServerPorts, "store" | "serviceCidr">): Addresses {
  const kind = kindNamed("Service");
  const taken = async (prefix: string) => (await store.list(prefix)).items.map((kv) => kv.key.slice(prefix.length));
  return {
    async complete(service, old) {
      const carried = old === undefined ? service : carryClusterIp(old, service);
      const asked = textAt(carried, "spec.clusterIP");
      const had = old === undefined ? "" : textAt(old, "spec.clusterIP");
      const external = textAt(carried, "spec.type") === "ExternalName";
      if (had !== "" && asked !== had && !external)
        throw invalid(kind, service.metadata.name, [
          { field: "spec.clusterIPs[0]", message: `Invalid value: "${asked}": may not change once set` },
        ]);
      const problem = clusterIpProblem(serviceCidr, asked);
      if (problem !== undefined) throw badIp(service, asked, problem);
      const ips = asked !== "" || external ? [] : await taken(IP_PREFIX);
      const ports = /^(NodePort|LoadBalancer)$/.test(textAt(carried, "spec.type")) ? await taken(PORT_PREFIX) : [];
      const pick = () => {
        const free = pickClusterIp(serviceCidr, new Set(ips));
        if (free === undefined)
          throw new ApiError(500, "InternalError", `failed to allocate a serviceIP: ${formatCidr(serviceCidr)} is full`);
        return free;
      };
      return withNodePorts(withClusterIp(carried, pick), new Set(ports.map(Number)));
    },
    refuseIfAsked(sent, what) {
      if (textAt(sent, "spec.clusterIP") === what) throw badIp(sent, what, "failed to allocate IP: provided IP is already allocated");
      if (mapsAt(sent, "spec.ports").some((p) => String(p["nodePort"]) === what))
        throw invalid(kind, sent.metadata.name, [
          { field: "spec.ports[0].nodePort", message: `Invalid value: ${what}: provided port is already allocated` },
        ]);
    },
  };

  function badIp(service: ApiObject, ip: string, why: string): ApiError {
    return invalid(kind, service.metadata.name, [{ field: "spec.clusterIPs", message: `Invalid value: ["${ip}"]: ${why}` }]);
  }
}
