/**
 * What the `calico` executable and the agent say to each other on the socket. Request: the line `calico-cni 1`, then
 * fields `NAME LENGTH`, a line feed, that many octets and a line feed; the field `END 0` closes. Answer: `EXIT LENGTH`,
 * a line feed, and that many octets for standard output. The same is in shim/calico-cni.c.
 */
export const MAGIC = "calico-cni 1\n";
export const MAX_REQUEST_OCTETS = 2 << 20;

export type Request = { readonly fields: ReadonlyMap<string, string> };
export type Decoded =
  { readonly state: "more" } | { readonly state: "bad"; readonly why: string } | { readonly state: "done"; readonly request: Request };

/** A request from the octets so far. */
export function decodeRequest(octets: Uint8Array): Decoded {
  const text = new TextDecoder();
  if (octets.length > MAX_REQUEST_OCTETS) return { state: "bad", why: `a request of more than ${MAX_REQUEST_OCTETS} octets` };
  const magic = text.decode(octets.subarray(0, MAGIC.length));
  if (!MAGIC.startsWith(magic)) return { state: "bad", why: "the first line is not calico-cni 1" };
  if (magic.length < MAGIC.length) return { state: "more" };
  const fields = new Map<string, string>();
  for (let at = MAGIC.length; ;) {
    const end = octets.indexOf(10, at);
    if (end < 0) return octets.length - at > 64 ? { state: "bad", why: "a field without a length" } : { state: "more" };
    const head = /^([A-Z_]{1,40}) (\d{1,7})$/.exec(text.decode(octets.subarray(at, end)));
    if (head?.[1] === undefined) return { state: "bad", why: "a field without a length" };
    const length = Number(head[2]);
    if (octets.length < end + 1 + length + 1) return { state: "more" };
    if (octets[end + 1 + length] !== 10) return { state: "bad", why: `field ${head[1]} does not end where it says` };
    if (head[1] === "END") return { state: "done", request: { fields } };
    fields.set(head[1], text.decode(octets.subarray(end + 1, end + 1 + length)));
    at = end + 1 + length + 1;
  }
}

export function encodeRequest(fields: Readonly<Record<string, string | undefined>>): Uint8Array {
  const parts = Object.entries({ ...fields, END: "" }).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const octets = Buffer.from(value);
    return [Buffer.from(`${name} ${octets.length}\n`), octets, Buffer.from("\n")];
  });
  return Buffer.concat([Buffer.from(MAGIC), ...parts]);
}

export type Answer = { readonly exit: number; readonly stdout: string };

export function encodeAnswer({ exit, stdout }: Answer): Uint8Array {
  const octets = Buffer.from(stdout);
  return Buffer.concat([Buffer.from(`${exit} ${octets.length}\n`), octets]);
}

/** The answer, or undefined if it is not whole. */
export function decodeAnswer(octets: Uint8Array): Answer | undefined {
  const text = Buffer.from(octets).toString("latin1");
  const head = /^(\d{1,3}) (\d{1,8})\n/.exec(text);
  if (head === null) return undefined;
  const body = octets.subarray(head[0].length);
  return body.length === Number(head[2]) ? { exit: Number(head[1]), stdout: new TextDecoder().decode(body) } : undefined;
}
