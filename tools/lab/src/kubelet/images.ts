import { writeFileSync } from "node:fs";

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
}

/**
 * What a container of the lab runs. There are no images here: an image's name stands for the program of the same name from Debian,
 * run on the machine's own files. Without a command, nginx serves a page that tells which pod answered whom.
 */
export function commandOf(
  container: Container,
  at: { readonly folder: string; readonly pod: string; readonly node: string },
): readonly string[] {
  const image = container.image.split("/").at(-1)?.split(":")[0] ?? "";
  const given = [...(container.command ?? []), ...(container.args ?? [])];
  if (image === "busybox" && given.length > 0) return given[0] === "busybox" || given[0]?.startsWith("/") ? given : ["busybox", ...given];
  if (container.command !== undefined) return given;
  if (image === "dnsmasq")
    return ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", `--pid-file=${at.folder}/dnsmasq.pid`, ...given];
  if (image === "nginx") {
    const file = `${at.folder}/nginx.conf`;
    writeFileSync(file, renderNginx(at));
    return ["nginx", "-p", at.folder, "-c", file, "-e", "stderr", ...given];
  }
  throw new Error(`Cannot run image "${container.image}" without a command: the lab knows nginx, busybox (with a command) and dnsmasq`);
}

function renderNginx(at: { readonly folder: string; readonly pod: string; readonly node: string }): string {
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((n) => `  ${n}_temp_path ${at.folder}/${n};`).join("\n");
  return `daemon off;
user root;
worker_processes 1;
pid ${at.folder}/nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
${temp}
  server {
    listen 80;
    default_type text/plain;
    location / { return 200 "pod=${at.pod} node=${at.node} client=$remote_addr\\n"; }
  }
}
`;
}
