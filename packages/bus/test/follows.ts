/** Follows the log with a credentials file until it is in sync, and prints each key. Arguments: server, file, node. */
import process from "node:process";
import { natsConnection, openFeed } from "../src/mod.ts";

const [server = "", natsCreds = "", node = ""] = process.argv.slice(2);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const left = new AbortController();
const connection = natsConnection({ node, natsCreds });
const feed = openFeed({ servers: [server], name: `felix/${node}`, kinds: ["IPPool"], signal: left.signal, log: quiet, connection });
for await (const batch of feed) {
  for (const event of batch) {
    if (event.kind === "updated") console.log(event.key);
    if (event.kind === "inSync") left.abort();
  }
}
