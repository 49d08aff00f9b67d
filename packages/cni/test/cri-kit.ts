/** containerd with a private root, driven over CRI as a kubelet does, by as much of its protocol as that takes. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { credentials, makeClientConstructor } from "@grpc/grpc-js";
import type { MethodDefinition } from "@grpc/grpc-js";
import { runOrThrow } from "@calico/linux";

/** Protobuf, as far as CRI's requests here need it: [field, text or message or number]. */
type Field = readonly [number: number, value: string | number | Message];
type Message = readonly Field[];

function varint(n: number): number[] {
  const out: number[] = [];
  for (let left = n; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...out, left];
    out.push((left % 128) | 128);
  }
}

function encode(message: Message): Buffer {
  return Buffer.concat(
    message.map(([number, value]) => {
      if (typeof value === "number") return Buffer.from([...varint(number * 8), ...varint(value)]);
      const octets = typeof value === "string" ? Buffer.from(value) : encode(value);
      return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(octets.length)]), octets]);
    }),
  );
}

/** The octets of length-delimited fields, by number. */
function decode(octets: Buffer): ReadonlyMap<number, Buffer> {
  const out = new Map<number, Buffer>();
  let at = 0;
  const next = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const octet = octets[at++] ?? 0;
      value += (octet & 127) * scale;
      if (octet < 128) return value;
    }
  };
  while (at < octets.length) {
    const tag = next();
    const length = next();
    if (tag % 8 !== 2) continue;
    out.set(Math.floor(tag / 8), octets.subarray(at, at + length));
    at += length;
  }
  return out;
}

const METHODS = ["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "PodSandboxStatus", "Version"] as const;
type Method = (typeof METHODS)[number];

function methodOf(name: Method): MethodDefinition<Message, ReadonlyMap<number, Buffer>> {
  return {
    path: `/runtime.v1.RuntimeService/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: encode,
    requestDeserialize: () => [],
    responseSerialize: () => Buffer.alloc(0),
    responseDeserialize: decode,
  };
}

export interface Cri extends Disposable {
  run(pod: { name: string; hostPort?: number }): Promise<string>;
  ipOf(id: string): Promise<string>;
  stop(id: string): Promise<void>;
  remove(id: string): Promise<void>;
  ready(): Promise<boolean>;
}

export function openCri(socket: string): Cri {
  const Client = makeClientConstructor(Object.fromEntries(METHODS.map((m) => [m, methodOf(m)])), "RuntimeService");
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  type Unary = (request: Message, o: { deadline: number }, done: (error: Error | null, value: ReadonlyMap<number, Buffer>) => void) => void;
  const call = (method: Method, request: Message): Promise<ReadonlyMap<number, Buffer>> =>
    new Promise((resolve, reject) => {
      const unary = (client as unknown as Record<Method, Unary>)[method].bind(client);
      unary(request, { deadline: Date.now() + 60_000 }, (error, value) => (error === null ? resolve(value) : reject(error)));
    });
  return {
    async run({ name, hostPort }) {
      const metadata: Message = [
        [1, name],
        [2, `uid-${name}`],
        [3, "default"],
      ];
      const ports: Message =
        hostPort === undefined
          ? []
          : [
              [
                5,
                [
                  [2, 80],
                  [3, hostPort],
                ],
              ],
            ];
      const done = await call("RunPodSandbox", [[1, [[1, metadata], [2, name], ...ports, [8, [[1, "/calico-cni-test"]]]]]]);
      return done.get(1)?.toString() ?? "";
    },
    async ipOf(id) {
      const status = (await call("PodSandboxStatus", [[1, id]])).get(1);
      const network = status === undefined ? undefined : decode(status).get(5);
      return network === undefined ? "" : (decode(network).get(1)?.toString() ?? "");
    },
    // containerd loses the answer of a shim that ends just then; a kubelet calls again until it is told that the sandbox is stopped.
    async stop(id) {
      const lost = (error: Error) => error.message.includes("ttrpc: closed");
      const tell = () => call("StopPodSandbox", [[1, id]]).catch((error: Error) => (lost(error) ? undefined : Promise.reject(error)));
      for (const end = Date.now() + 30_000; (await tell()) === undefined; await setTimeout(500))
        if (Date.now() > end) throw new Error(`containerd cannot stop sandbox ${id}: its shim's answer is lost again and again`);
    },
    remove: async (id) => void (await call("RemovePodSandbox", [[1, id]])),
    ready: () =>
      call("Version", []).then(
        () => true,
        () => false,
      ),
    [Symbol.dispose]: () => client.close(),
  };
}

/** An image archive of one static program that waits, built here. */
export async function makePauseImage(dir: string): Promise<string> {
  const root = join(dir, "pause-root");
  await mkdir(root, { recursive: true });
  await writeFile(join(dir, "pause.c"), "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n");
  await runOrThrow(["cc", "-static", "-Os", "-o", join(root, "pause"), join(dir, "pause.c")], {});
  await runOrThrow(["tar", "-C", root, "-cf", join(dir, "layer.tar"), "pause"], {});
  const layout = join(dir, "image");
  await mkdir(join(layout, "blobs/sha256"), { recursive: true });
  const blob = async (octets: Buffer | string) => {
    const digest = createHash("sha256").update(octets).digest("hex");
    await writeFile(join(layout, "blobs/sha256", digest), octets);
    return { digest: `sha256:${digest}`, size: Buffer.byteLength(octets) };
  };
  const layer = await blob(await readFile(join(dir, "layer.tar")));
  const config = {
    architecture: "amd64",
    os: "linux",
    config: { Entrypoint: ["/pause"] },
    rootfs: { type: "layers", diff_ids: [layer.digest] },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...(await blob(JSON.stringify(config))) },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
  };
  const annotations = { "io.containerd.image.name": "localhost/pause:1", "org.opencontainers.image.ref.name": "1" };
  const entry = { mediaType: manifest.mediaType, ...(await blob(JSON.stringify(manifest))), annotations };
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const archive = join(dir, "pause-image.tar");
  await runOrThrow(["tar", "-C", layout, "-cf", archive, "."], {});
  await rm(layout, { recursive: true });
  return archive;
}

export function containerdConfig(dir: string): string {
  return `version = 2
root = "${dir}/containerd/root"
state = "${dir}/containerd/state"
[grpc]
  address = "${dir}/containerd.sock"
[ttrpc]
  address = "${dir}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${dir}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${dir}/bin"
  conf_dir = "${dir}/net.d"
`;
}
