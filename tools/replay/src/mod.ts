/** Replay as a library: a history from the log's messages, its states, and what the agents' cores make of it. For benchmarks and tests. */
export { type Archive, readArchive, writeArchive } from "./adapter/archive-file.ts";
export { readLog } from "./adapter/log.ts";
export { fold, type State } from "./domain/fold.ts";
export { type History, type HistoryBuilder, type LogRecord, makeHistoryBuilder, type RawMessage } from "./domain/history.ts";
export { COMPONENTS, eventsOf, render } from "./service/render.ts";
