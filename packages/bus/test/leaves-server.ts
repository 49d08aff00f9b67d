/** A process that connects to NATS over TLS, leaves the server by force, and says when it is back: `leaves-server.ts URL CA CERT KEY`. */
import process from "node:process";
import { openNats } from "../src/adapter/nats.ts";

const [url = "", caFile = "", certFile = "", keyFile = ""] = process.argv.slice(2);
const log = { debug() {}, info() {}, warn() {}, error() {} };
const nats = openNats({ servers: [url], name: "leaves", log, connection: { tls: { caFile, certFile, keyFile } } });
const { nc } = await nats.use();
const left = new Promise<void>((resolve) => void nats.onDisconnect(resolve));
await nc.reconnect();
await left;
await nats.use(AbortSignal.timeout(10_000));
console.log("left, and back");
await nats.close();
