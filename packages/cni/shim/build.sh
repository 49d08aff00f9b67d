#!/usr/bin/env bash
# Build the CNI executables into a folder (default dist/cni of the repository): calico, calico-ipam and calico.full.
# Without a C compiler both are a shell script that runs the whole plugin, which is slower but does the same.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=${1:-$root/dist/cni}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# Written beside and moved, so that a runtime never executes half a file.
install_as() { chmod 755 "$1"; mv -f "$1" "$2"; }

cat >"$out/.calico.full" <<SCRIPT
#!/bin/sh
# The whole plugin: run by the executables when no agent answers. \$1 is calico or calico-ipam.
exec bash "$root/setup/run.sh" packages/cni/src/plugin.ts "\$@"
SCRIPT
install_as "$out/.calico.full" "$out/calico.full"

compiler=${CC-$(command -v gcc || command -v cc || true)}
if [[ -n $compiler ]]; then
  "$compiler" -static -Os -s -Wall -Wextra -Werror -o "$out/.calico" "-DFULL_PLUGIN=\"$out/calico.full\"" "$here/calico-cni.c"
else
  echo "no C compiler: the CNI executables run the whole plugin each time (install gcc for the fast ones)" >&2
  cat >"$out/.calico" <<SCRIPT
#!/bin/sh
exec "$out/calico.full" "\$(basename "\$0")" "\$@"
SCRIPT
fi
cp "$out/.calico" "$out/.calico-ipam"
install_as "$out/.calico" "$out/calico"
install_as "$out/.calico-ipam" "$out/calico-ipam"
echo "built $out/calico and $out/calico-ipam"
