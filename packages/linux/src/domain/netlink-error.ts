/**
 * The kernel's refusal of one netlink request. Single calls throw it; a batch carries it as a value per operation.
 * `code` is what a caller branches on; `message` is for people and carries the kernel's own words when it gave any.
 */
import { errnoName } from "./errno.ts";

export class NetlinkError extends Error {
  /** What was asked, in words: `replaceRoute 10.0.0.0/26 blackhole`. */
  readonly op: string;
  /** The positive errno. */
  readonly errno: number;
  /** Its name: `EEXIST`, `ENODEV`, `ENETUNREACH` … */
  readonly code: string;
  /** The kernel's extended acknowledgement, such as `Nexthop has invalid gateway`. */
  readonly kernelMessage: string | undefined;

  constructor(fields: { op: string; errno: number; kernelMessage?: string | undefined; hint?: string | undefined }) {
    const code = errnoName(fields.errno);
    const details = [fields.kernelMessage, fields.hint].filter((text) => text !== undefined).join("; ");
    super(`Cannot ${fields.op}: ${code}${details ? ` (${details})` : ""}`);
    this.name = "NetlinkError";
    this.op = fields.op;
    this.errno = fields.errno;
    this.code = code;
    this.kernelMessage = fields.kernelMessage;
  }
}
