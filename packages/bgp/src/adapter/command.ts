import { daemonCommand } from "@calico/daemon";
import type { DaemonOptions } from "@calico/daemon";
import { InvalidArgumentError, Option } from "commander";
import { routerIdOf } from "../domain/config/router-id.ts";

export interface BgpOptions extends DaemonOptions {
  readonly listenPort?: number;
  readonly routerId?: string;
}

/** The command line of bgp. */
export function bgpCommand() {
  return daemonCommand("bgp", "Speaks BGP for this node: tells peers of its address blocks, puts theirs into the kernel.", {
    healthPort: 9100,
  })
    .addOption(
      new Option("--listen-port <port>", "BGP port of this node, and of mesh peers whose port BGPConfiguration does not say (default: 179)")
        .env("BGP_LISTEN_PORT")
        .argParser(port),
    )
    .addOption(
      new Option("--router-id <id>", 'an IPv4 address, or "hash" of the node name (default: the node\'s BGP address)')
        .env("CALICO_ROUTER_ID")
        .argParser(routerId),
    );
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 65535) throw new InvalidArgumentError("expected 1 to 65535");
  return value;
}

function routerId(text: string): string {
  if (text !== "" && routerIdOf(text, "any", undefined) === undefined) throw new InvalidArgumentError('expected an IPv4 address or "hash"');
  return text;
}
