/** A way to a prefix: who told us, and what the telling carried. Shared by all prefixes of one UPDATE. */
import type { PathAttributes } from "../codec/attribute.ts";

export type PeerId = string;

export type Path = {
  /** Undefined: ours, originated here. */
  readonly from?: PathSource;
  /** Undefined on our own. */
  readonly nextHop?: string;
  readonly attributes: PathAttributes;
  /** Its teller is away and may be back; its kernel forwards meanwhile. Source: RFC 4724 §4.2. */
  readonly stale: boolean;
};

export type PathSource = {
  readonly peer: PeerId;
  readonly address: string;
  readonly routerId: string;
  readonly ibgp: boolean;
  /** The teller is our route reflector client. */
  readonly client: boolean;
};

/** What every one of our own prefixes is announced with. */
export const LOCAL_PATH: Path = { attributes: { origin: "igp", asPath: [] }, stale: false };
