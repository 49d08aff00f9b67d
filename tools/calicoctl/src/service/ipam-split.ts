/** `ipam split`: a pool becomes equal parts; blocks, and with them addresses, stay as they are. Source: facts §4.9.3. */
import { API_VERSION, cidrOf, formatCidr, keyOf, nthIp, parseCidr } from "@calico/model";
import type { Cidr, Resource } from "@calico/model";
import { CliError } from "../domain/cli-error.ts";
import { inputOf, mustOk } from "./write.ts";
import type { Context } from "../ports.ts";

export async function ipamSplit(
  context: Context,
  options: { readonly number: string; readonly cidr?: string; readonly name?: string },
): Promise<void> {
  const number = /^\d+$/.test(options.number) ? Number(options.number) : Number.NaN;
  if (!(number >= 2) || !Number.isInteger(Math.log2(number)))
    throw new CliError(`number to split CIDR into is not a valid power of 2: ${options.number}`);
  if ((options.cidr === undefined) === (options.name === undefined))
    throw new CliError("give either --cidr or --name of the IP pool to split");
  const client = await context.client();
  const info = mustOk(await client.get({ kind: "ClusterInformation", name: "default" }), "unable to retrieve the cluster information");
  if (info.spec.datastoreReady !== false)
    throw new CliError("datastore is not locked. Run the `calicoctl datastore migrate lock` command in order split the IP pools");
  const pool = (await client.list("IPPool")).items.find((p) =>
    options.name === undefined ? p.spec.cidr === options.cidr : p.metadata.name === options.name,
  );
  if (pool === undefined) throw new CliError(`unable to find IP pool ${options.name ?? `covering CIDR ${options.cidr}`}`);
  const parts = partsOf(pool, number);
  const disabled = await client.update(inputOf({ ...pool, spec: { ...pool.spec, disabled: true } }));
  mustOk(disabled, `cannot disable IP pool ${pool.metadata.name}`);
  for (const [i, cidr] of parts.entries()) await createPart(context, { pool, cidr, name: `split-${pool.metadata.name}-${i}` });
  const gone = await (await context.store()).delete(keyOf({ kind: "IPPool", name: pool.metadata.name }));
  if (!gone.ok) throw new CliError(`the parts of IP pool ${pool.metadata.name} were made, but it was not deleted: ${gone.error.kind}`);
  context.io.print(`Successfully split IP pool ${pool.metadata.name} into ${number} IP pools: ${parts.map(formatCidr).join(", ")}`);
}

function partsOf(pool: Resource<"IPPool">, number: number): readonly Cidr[] {
  const cidr = parseCidr(pool.spec.cidr);
  if (!cidr.ok) throw new CliError(cidr.error);
  const len = cidr.value.len + Math.log2(number);
  if (len > pool.spec.blockSize) throw new CliError(`the CIDR ${pool.spec.cidr} is not large enough to be split into ${number} parts`);
  const size = 1n << BigInt((cidr.value.family === 4 ? 32 : 128) - len);
  return Array.from({ length: number }, (_, i) => cidrOf(nthIp(cidr.value, BigInt(i) * size), len));
}

/** Past the checks of overlap, which the old pool would fail. A part that is there already is of a split that was cut short. */
async function createPart(context: Context, o: { pool: Resource<"IPPool">; cidr: Cidr; name: string }): Promise<void> {
  const { labels, annotations } = o.pool.metadata;
  const metadata = { name: o.name, ...(labels === undefined ? {} : { labels }), ...(annotations === undefined ? {} : { annotations }) };
  const spec = { ...o.pool.spec, cidr: formatCidr(o.cidr) };
  const made = await (await context.client()).create({ kind: "IPPool", apiVersion: API_VERSION, metadata, spec }, { unsafe: true });
  if (!made.ok && made.error.kind !== "alreadyExists") throw new CliError(`cannot make IP pool ${o.name}: ${made.error.message}`);
}
