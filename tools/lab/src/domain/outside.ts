import { PORTS, type Topology } from "./topology.ts";

/** The web server of the world outside: it says which address asked, which is how outgoing NAT is seen. */
export function renderOutsideWeb(t: Topology): string {
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((n) => `  ${n}_temp_path ${t.dir}/outside-${n};`).join("\n");
  return `daemon off;
user root;
worker_processes 1;
pid ${t.dir}/outside.pid;
events { worker_connections 64; }
http {
  access_log off;
${temp}
  server {
    listen ${t.gatewayIp}:${PORTS.outsideWeb};
    default_type text/plain;
    location / { return 200 "outside client=$remote_addr\\n"; }
  }
}
`;
}
