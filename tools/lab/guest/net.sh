# SPDX-License-Identifier: MIT
# A guest's network: sourced by its first script and by what dom0 types on the console.
option() { sed -n "s/.*lab\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
ifname=eth0
[ "$(option front)" = ours ] && ifname=nf0
[ -e /tmp/ifname ] && ifname=$(cat /tmp/ifname)

# Brings the interface up and waits until it carries; ours exists before it is connected.
net_up() {
	for i in $(seq 1 100); do
		[ -e /sys/class/net/$ifname ] && break
		usleep 100000
	done
	ip addr replace $(option address)/24 dev $ifname
	ip link set $ifname up
	for i in $(seq 1 100); do
		[ "$(cat /sys/class/net/$ifname/carrier)" = 1 ] && return 0
		usleep 100000
	done
	return 1
}

net_gone() {
	for i in $(seq 1 100); do
		[ -e /sys/class/net/$ifname ] || return 0
		usleep 100000
	done
	return 1
}
