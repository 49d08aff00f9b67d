/**
 * Why a CNI call failed, as the spec's error object.
 *
 * Source: CNI SPEC 1.1.0 "Error" (codes 1-99 are the spec's, from 100 on the plugin's).
 */
export const CODES = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodeFailure: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgain: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  internal: 100,
  ipam: 101,
  kernel: 102,
  delegate: 103,
  checkFailed: 104,
} as const;

export type FaultKind = keyof typeof CODES;

/** Thrown at any depth of a call; the door prints it. `msg` is the short sentence, `details` what to look at. */
export class CniFault extends Error {
  override readonly name = "CniFault";
  readonly code: number;
  readonly details: string | undefined;
  constructor(kind: FaultKind | number, msg: string, details?: string) {
    super(msg);
    this.code = typeof kind === "number" ? kind : CODES[kind];
    this.details = details;
  }
}

export type ErrorObject = { readonly cniVersion: string; readonly code: number; readonly msg: string; readonly details?: string };

export function errorObject(fault: CniFault, cniVersion: string): ErrorObject {
  return { cniVersion, code: fault.code, msg: fault.message, ...(fault.details === undefined ? {} : { details: fault.details }) };
}
