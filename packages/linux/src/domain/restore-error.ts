/**
 * Where iptables-restore or ipset restore stopped. Their messages are the only source of the line number, so this is the one place
 * that reads them: `iptables-restore: line 7 failed`, `Error occurred at line: 7`, `line 7: RULE_APPEND failed`, `… in line 7: …`.
 */
const LINE = /\bline:? (\d+)/;

/** The refused line, 1-based, and its text; undefined if the message names none. */
export function readRefusedLine(message: string, script: string): { readonly line: number; readonly text: string } | undefined {
  const found = LINE.exec(message);
  if (!found) return undefined;
  const line = Number(found[1]);
  const text = script.split("\n")[line - 1];
  return text === undefined ? undefined : { line, text };
}
