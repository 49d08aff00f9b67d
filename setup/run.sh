#!/usr/bin/env bash
# Run one TypeScript program of the repository on Deno (CALICO_RUNTIME=node: on the pinned Node 24).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$1; shift
[[ $program = /* ]] || program=$root/$program
export DENO_DIR=${DENO_DIR:-$root/.cache/deno} DENO_NO_UPDATE_CHECK=1
if [[ ${CALICO_RUNTIME:-deno} = node ]]; then exec "$root/node_modules/node24/bin/node" --disable-warning=ExperimentalWarning "$program" "$@"; fi
exec "$root/node_modules/@deno/linux-x64-glibc/deno" run --quiet --no-check --allow-all --unstable-unsafe-proto --config "$root/deno.json" "$program" "$@"
