import { permissionsFor } from "@calico/bus";
import { expect, test } from "vitest";
import { makeFakeCli } from "./testing.ts";

test("nats permissions: a server's configuration names no password", async () => {
  const { code, out } = await makeFakeCli().run("nats permissions syncer/ctl node/node1 node/rack-1.example");
  expect(code).toBe(0);
  expect(out).toContain(`#   NATS_PASSWORD_NODE1='"$2a$…"'`);
  expect(out).toContain('{ user: "node1", password: $NATS_PASSWORD_NODE1,');
  expect(out).toContain('{ user: "rack-1.example", password: $NATS_PASSWORD_RACK_1_EXAMPLE,');
  expect(out.match(/user: "/g)).toHaveLength(3);
});

test("nats permissions: data, and commands of nsc", async () => {
  const { publish, subscribe } = permissionsFor({ role: "node", node: "node1" });
  const json = await makeFakeCli().run("nats permissions node/node1 -o json");
  expect(JSON.parse(json.out)).toEqual([{ role: "node", name: "node1", permissions: { publish, subscribe } }]);
  const { out } = await makeFakeCli().run("nats permissions node/node1 reader/calico-replay -o nsc");
  expect(out.split("\n")[0]).toBe(
    `nsc add user --name 'node1' --allow-pub '${publish.allow.join()}' --allow-sub '${subscribe.allow.join()}'`,
  );
  expect(out.trimEnd().split("\n")).toHaveLength(2);
});

test.for([
  { bearers: "node1", want: "unknown bearer 'node1': expected ROLE/NAME, where ROLE is one of node, syncer, controller, reader" },
  { bearers: "root/node1", want: "unknown bearer 'root/node1'" },
  { bearers: "node/", want: "bad name ''" },
  { bearers: "node/a'b", want: "bad name 'a'b'" },
  { bearers: "node/a.b node/a-b", want: "'a-b' and another name would have the same variable NATS_PASSWORD_A_B" },
  { bearers: "node/a reader/a -o nsc", want: "'a' is there twice" },
  { bearers: "node/a -o toml", want: "Allowed choices are conf, nsc, json, yaml" },
])("nats permissions: refuses $bearers", async ({ bearers, want }) => {
  const { code, out, err } = await makeFakeCli().run(`nats permissions ${bearers}`);
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toContain(want);
});
