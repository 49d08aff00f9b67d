/** Chains on their way out: only those whose text changed leave. */
import type { Family } from "../names.ts";
import type { ChainChange, RenderedChain, TableName } from "../program.ts";
import { sameChain } from "../render/chain.ts";
import { KeyedOutput } from "./keyed-output.ts";

export class ChainOutput {
  readonly families: readonly Family[];
  readonly #chains = new KeyedOutput<RenderedChain>(sameChain);

  constructor(families: readonly Family[]) {
    this.families = families;
  }

  get size(): number {
    return this.#chains.size;
  }

  set(place: { readonly family: Family; readonly table: TableName; readonly name: string }, chain: RenderedChain | undefined): void {
    this.#chains.set(`${place.family} ${place.table} ${place.name}`, chain);
  }

  /** The same chain of the filter table in every family. */
  setFilter(name: string, render: ((family: Family) => RenderedChain | undefined) | undefined): void {
    for (const family of this.families) this.set({ family, table: "filter", name }, render?.(family));
  }

  flush(): readonly ChainChange[] {
    return this.#chains.flush().map(({ key, value }) => {
      const [family, table, ...name] = key.split(" ");
      return {
        family: Number(family) as Family,
        table: table as TableName,
        name: name.join(" "),
        ...(value === undefined ? {} : { chain: value }),
      };
    });
  }
}
