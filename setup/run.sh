#!/usr/bin/env bash
# Run one TypeScript program of the repository on Deno (CALICO_RUNTIME=node: on the pinned Node 24).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$1; shift
[[ $program = /* ]] || program=$root/$program
export DENO_DIR=${DENO_DIR:-$root/.cache/deno} DENO_NO_UPDATE_CHECK=1
if [[ ${CALICO_RUNTIME:-deno} = node ]]; then exec "$root/node_modules/node24/bin/node" --disable-warning=ExperimentalWarning "$program" "$@"; fi
# A small young generation and code for size: a daemon is idle most of its time and its memory is counted (docs/adr/0001-runtime.md).
exec "$root/node_modules/@deno/linux-x64-glibc/deno" run "--v8-flags=${CALICO_V8_FLAGS:---max-semi-space-size=1,--optimize-for-size}" --quiet --no-check --allow-all --unstable-unsafe-proto --config "$root/deno.json" "$program" "$@"
