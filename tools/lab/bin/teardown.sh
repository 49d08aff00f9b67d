#!/usr/bin/env bash
# The one way in which a lab ends. Waits for the end of its standard input, which the lab holds open, so it also runs when the lab was killed;
# then kills what runs in the lab's namespaces, deletes them, and removes the lab's folder.
#   teardown.sh ID FOLDER OWNER   OWNER: the pid in FOLDER/owner.json; another lab that has taken the name since is left alone
#   teardown.sh ID FOLDER --now   at once, whoever made it
set -u
id=$1 folder=$2 owner=$3
[[ $id =~ ^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$ && $folder = /run/calico-lab/"$id" ]] || { echo "teardown: refusing id \"$id\", folder \"$folder\"" >&2; exit 2; }
trap '' INT TERM HUP
[[ $owner = --now ]] || cat >/dev/null
cd / || exit 1
exec 9>"/run/lock/calico-lab-$id" && flock 9
if [[ $owner != --now ]]; then
  [[ -e $folder/owner.json ]] || exit 0
  grep -q "\"pid\":$owner," "$folder/owner.json" || exit 0
fi

namespaces() { local f; for f in /run/netns/"$id"-*; do [[ -e $f ]] && printf '%s\n' "${f##*/}"; done; }
processes() { local ns; for ns in $(namespaces); do ip netns pids "$ns" 2>/dev/null; done | sort -un; }

# Supervised processes are started again as long as the lab's own process lives, so look until none is left; bounded.
for _ in $(seq 100); do
  pids=$(processes)
  [[ -z $pids ]] && break
  # shellcheck disable=SC2086
  kill -KILL $pids 2>/dev/null
  sleep 0.05
done
for ns in $(namespaces); do ip netns delete "$ns" 2>/dev/null || rm -f "/run/netns/$ns"; done
rm -rf "$folder"
rmdir /run/calico-lab 2>/dev/null
rm -f "/run/lock/calico-lab-$id"
[[ -z ${pids:-} ]] || { echo "teardown: these processes of lab $id could not be ended: $pids" >&2; exit 1; }
