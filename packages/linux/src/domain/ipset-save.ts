/** The text of `ipset save`: `create NAME TYPE [option value …]`, `add NAME MEMBER [option value …]`. Source: ipset(8). */
import type { IpsetInfo } from "../ports.ts";

/** The sets of that text, in its order, members sorted. A line of another form is an error: half a list must not look like all of it. */
export function parseIpsetSave(text: string): IpsetInfo[] {
  const sets = new Map<string, IpsetInfo & { members: string[] }>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [verb, name = "", third, ...rest] = line.split(" ");
    const set = sets.get(name);
    if (verb === "create" && third !== undefined) sets.set(name, { name, type: third, ...createOptions(rest), members: [] });
    else if (verb === "add" && third !== undefined && set) set.members.push(third);
    else throw new Error(`Cannot parse ipset listing: expected "create NAME TYPE …" or "add NAME MEMBER", found "${line}"`);
  }
  for (const set of sets.values()) set.members.sort();
  return [...sets.values()];
}

function createOptions(words: readonly string[]): Pick<IpsetInfo, "family" | "maxelem"> {
  const after = (option: string) => {
    const at = words.indexOf(option);
    return at < 0 ? undefined : words[at + 1];
  };
  const family = after("family");
  const maxelem = after("maxelem");
  return {
    family: family === "inet" || family === "inet6" ? family : undefined,
    maxelem: maxelem === undefined ? undefined : Number(maxelem),
  };
}
