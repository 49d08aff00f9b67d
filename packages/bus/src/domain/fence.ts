/**
 * How many messages a leader may have on the way, and how many sequences each claim of the log uses up.
 *
 * A message is taken when the log is at the sequence that it expects, whoever wrote the one before: of what a deposed leader still has on
 * the way, the first is refused, and a later one could find the log, moved on by others, just where it expects it. So message `n` is sent
 * when `n - IN_FLIGHT` is stored, and a claim ends `IN_FLIGHT` sequences after the last that the leader before can have stored: past all that
 * it can expect. nats-server 2.9 has nothing better: its expected message id differs from replica to replica after a restart.
 */
export const IN_FLIGHT = 64;
