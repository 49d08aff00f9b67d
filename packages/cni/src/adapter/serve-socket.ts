import type { Socket } from "node:net";
import { encodeAnswer, decodeRequest } from "../domain/frame.ts";
import type { Answer, Request } from "../domain/frame.ts";

/** One request and its answer per connection. `onBroken` hears of clients that did not speak properly. */
export function serveConnection(socket: Socket, handle: (request: Request) => Promise<Answer>, onBroken: (why: string) => void): void {
  let octets: Uint8Array = new Uint8Array();
  let answering = false;
  socket.setTimeout(10_000, () => !answering && socket.destroy());
  socket.on("error", (e) => onBroken(e.message));
  socket.on("data", (chunk: Uint8Array) => {
    if (answering) return;
    octets = octets.length === 0 ? chunk : Buffer.concat([octets, chunk]);
    const decoded = decodeRequest(octets);
    if (decoded.state === "more") return;
    if (decoded.state === "bad") {
      onBroken(decoded.why);
      return void socket.destroy();
    }
    answering = true;
    void handle(decoded.request).then((answer) => socket.end(encodeAnswer(answer)));
  });
}
