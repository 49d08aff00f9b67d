/** The log of one call: the process's own, and the file that the configuration names. */
import { isLogged, logTargetOf, renderLogLine } from "../domain/log-line.ts";
import type { Level } from "../domain/log-line.ts";
import type { Netconf } from "../domain/netconf.ts";
import type { Log, Ports } from "../ports.ts";

export function teeLog(ports: Pick<Ports, "appendToLog" | "clock">, log: Log, conf: Netconf): Log {
  const target = logTargetOf(conf);
  if (target === undefined) return log;
  const at =
    (level: Level): Log["info"] =>
    (message, fields = {}) => {
      log[level](message, fields);
      if (!isLogged(level, conf.log_level)) return;
      const problem = ports.appendToLog(target, renderLogLine({ level, message, fields, now: ports.clock.now() }));
      if (problem !== undefined) log.warn("log file not written", { path: target.path, reason: problem.message });
    };
  return { info: at("info"), warn: at("warn") };
}
