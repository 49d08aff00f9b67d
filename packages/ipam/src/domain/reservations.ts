/** Which addresses are kept back from automatic assignment. Source: calico libcalico-go/lib/ipam/ipam.go (addrFilter). */
import { cidrContains, cidrCovers, nthIp, parseCidrLoose } from "@calico/model";
import type { Cidr } from "@calico/model";
import { z } from "zod";

const reservationSchema = z.object({ spec: z.object({ reservedCIDRs: z.array(z.string()).nullish() }) });

/** The CIDRs of one IPReservation; what does not parse reserves nothing. */
export function reservedCidrs(json: unknown): readonly Cidr[] {
  const parsed = reservationSchema.safeParse(json);
  if (!parsed.success) return [];
  return (parsed.data.spec.reservedCIDRs ?? []).flatMap((text) => {
    const cidr = parseCidrLoose(text);
    return cidr.ok ? [cidr.value] : [];
  });
}

/** Says of each ordinal of a block whether it is reserved. */
export function reservedIn(reserved: readonly Cidr[], block: Cidr): (ordinal: number) => boolean {
  const near = reserved.filter((r) => cidrCovers(block, r) || cidrCovers(r, block));
  if (near.length === 0) return () => false;
  return (ordinal) => near.some((r) => cidrContains(r, nthIp(block, ordinal)));
}

export function isWhollyReserved(reserved: readonly Cidr[], block: Cidr): boolean {
  return reserved.some((r) => cidrCovers(r, block));
}
