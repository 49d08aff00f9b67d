// A connection that is kept: `echo.mjs serve PORT` answers every octet; `echo.mjs talk HOST PORT` sends a numbered line every 50 ms and prints each answer's number.
import { connect, createServer } from "node:net";
import process from "node:process";

const [role, ...rest] = process.argv.slice(2);
if (role === "serve") createServer((s) => s.pipe(s)).listen(Number(rest[0]), "0.0.0.0");
else {
  const socket = connect(Number(rest[1]), rest[0]);
  let n = 0;
  setInterval(() => socket.write(`${++n}\n`), 50);
  socket.on("data", (d) => process.stdout.write(d));
  for (const end of ["close", "error"]) socket.on(end, () => process.exit(1));
}
