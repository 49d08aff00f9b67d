#!/usr/bin/env bash
# Which of the kernel features that we use are here. Tries each one in a namespace of its own, so nothing else is touched.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

has() { unshare --net -- sh -c "$1" >/dev/null 2>&1; }
missing=()
need() { has "$2" || missing+=("$1"); }

unshare --net true 2>/dev/null || die "network namespaces are not allowed here (unshare --net failed); a container needs CAP_SYS_ADMIN"
need "veth pairs" 'ip link add v0 type veth peer name v1'
need "bridge" 'ip link add b0 type bridge'
need "iptables with conntrack, nat and comment" 'iptables -t nat -A POSTROUTING -m conntrack --ctstate NEW -m comment --comment x -j MASQUERADE'
need "iptables set match (xt_set, ip_set)" 'ipset create s0 hash:ip && iptables -A INPUT -m set --match-set s0 src -j DROP'
need "iptables rpfilter and addrtype" 'iptables -t raw -A PREROUTING -m rpfilter --invert -m addrtype --dst-type LOCAL -j DROP'
((${#missing[@]} == 0)) || die "this kernel lacks: $(IFS=';'; echo "${missing[*]}"). Load the modules, or boot a kernel that has them"

has 'ip link add vxlan0 type vxlan id 1 dstport 4789' || say "kernel: no VXLAN; pools with vxlanMode cannot be used"
has 'ip link add ipip0 type ipip local 127.0.0.1 || ip link show tunl0' || say "kernel: no IPIP (tunl0); the demonstration uses routes without encapsulation in its place"
