/** Candidates live beside Calico's keys, not among them: a reset of `/calico/` must not depose anybody. */
export const ELECTION_PREFIX = "/calico-ts/election/";
