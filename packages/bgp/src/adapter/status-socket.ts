import { listenUnix, readLines } from "@calico/daemon";

const LONGEST_REQUEST = 4096;

/**
 * A unix socket that answers one JSON line with one JSON line, for calicoctl and people. Root only.
 *
 * `answer` gets the parsed request, and may throw: the caller is told.
 */
export function serveStatus(path: string, answer: (request: unknown) => unknown): Promise<AsyncDisposable> {
  return listenUnix(path, (socket) => {
    socket.on("error", () => socket.destroy());
    readLines(socket, (line) => void socket.write(`${JSON.stringify(answerLine(line, answer))}\n`), LONGEST_REQUEST);
  });
}

function answerLine(line: string, answer: (request: unknown) => unknown): unknown {
  try {
    return answer(JSON.parse(line));
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
