# SPDX-License-Identifier: MIT
# TypeScript on real Xen: the library in dom0, and a whole nested stack inside a guest.
. /lab/restore.sh
servers
quick_baseline

ts_on_xen() {
	begin ts-on-xen
	if node --version >/tmp/node.out 2>&1; then
		check node-runs true
		node $NESTFRONT/dist/tools/examples/xen.js >/tmp/ts.out 2>/tmp/ts.log &
		TS=$!
		check attached wait_for 60 grep -q attached /tmp/ts.out ||
			cat /tmp/ts.out /tmp/ts.log
		check create guest_create d1 pv stock 10.0.0.2
		check ping-sizes ping_sizes d1
		check stream-up seeded d1 TCP_STREAM 11
		check stream-down seeded d1 TCP_MAERTS 12
		kill $TS
		check detached wait_for 30 grep -q detached /tmp/ts.out
		wait $TS
		check exit-code test $? = 0
		cat /tmp/ts.out /tmp/ts.log
		for key in tx_packets rx_packets; do
			say "counter back $key $(grep netback /tmp/ts.out | number $key)"
		done
		counted() { [ $(grep netback /tmp/ts.out | number tx_packets) -gt 100 ]; }
		check counters-read counted
		check destroyed guest_gone d1
	else
		cat /tmp/node.out
		say "skip this host's Node does not run with bookworm's libraries:" \
			"$(tail -n 1 /tmp/node.out)"
	fi
	end ts-on-xen
}

# The lines of nested.js are the host's already: of L2's front and of the relay.
nested_counters() {
	sleep 2 # nested.js writes every second
	guest_do l1 10 'cat /tmp/counters' >/tmp/nested.counters
	grep '^@@NF counter' /tmp/nested.counters
}
# nested_count END KEY
nested_count() { sed -n "s/^@@NF counter $1 $2 //p" /tmp/nested.counters; }
relayed() {
	[ "$(nested_count relay tx_packets)" -gt 100 ] &&
		[ "$(nested_count front tx_packets)" -gt 100 ]
}
# translate: the payload is L2's own pages, all the way to L0
not_copied() {
	[ "$(nested_count relay payload_copies)" = 0 ] &&
		[ "$(nested_count relay grant_copies)" = 0 ]
}

# The provider takes L1's device away and gives it back; L1 has put its stack down before.
nested_detach_attach() {
	_id=$(xl domid l1)
	xl network-detach l1 0 || return 1
	wait_for 20 backend_gone $_id || { echo "the back's node stays"; return 1; }
	wait_for 10 not [ -e /sys/class/net/vif$_id.0 ] || { echo "vif$_id.0 stays"; return 1; }
	xl network-attach l1 bridge=xenbr0 script=vif-lab || return 1
	guest_do l1 20 'for i in $(seq 1 100); do xenstore-exists device/vif/0/mac && break
usleep 100000; done'
}

net_nested_embedded() {
	begin net-nested-embedded
	modprobe xen-netback
	check create guest_create l1 pvh none 10.0.0.4 'memory=900' 'ramdisk="/mnt/l1.cpio"' &&
		check nested-up nested_up && nested_checks
	end net-nested-embedded
	guest_gone l1
}

nested_checks() {
	net_suite l1
	check counters-read nested_counters
	check relayed relayed
	check payload-not-copied not_copied
	check mtu-9000 mtu_9000 l1
	check offloads offloads l1
	check taken-down nested_down
	check detach-attach nested_detach_attach
	check up-again nested_up
	check stream-again seeded l1 TCP_STREAM 25 1
	check destroyed-under-load destroyed_under_load l1
}

# L2's disk is put down first: L1's own goes with the provider's back.
nested_disk_detach_attach() {
	_id=$(xl domid l1)
	in_disk l1 30 disk_down && nested_down || return 1
	xl block-detach l1 xvda || return 1
	wait_for 20 disk_gone $_id || { echo "the back's node stays"; return 1; }
	/sbin/e2fsck -fn $IMAGE || return 1
	xl block-attach l1 "$STOCK" || return 1
	guest_do l1 20 'for i in $(seq 1 100); do xenstore-exists device/vbd/51712/state && break
usleep 100000; done'
	nested_up disk && in_disk l1 60 'disk_up nested' && fsck_clean in_disk l1 60 files_check
}

# Lists of indirect requests are copied, once; payload is not.
disk_not_copied() {
	[ "$(nested_count relay payload_copies)" = 0 ] &&
		[ "$(nested_count relay grant_copies)" = "$(nested_count relay blk_indirects)" ]
}

nested_disk_checks() {
	disk_suite l1 nested
	check counters-read nested_counters
	check payload-not-copied disk_not_copied
	check detach-attach nested_disk_detach_attach
	check destroyed-under-load disk_destroyed_under_load l1
}

blk_nested_embedded() {
	begin blk-nested-embedded
	modprobe loop
	modprobe xen-blkback
	image_new
	losetup /dev/loop0 $IMAGE
	check create guest_create l1 pvh none 10.0.0.4 'memory=900' 'ramdisk="/mnt/l1.cpio"' \
		'vif=[]' "disk=[\"$STOCK\"]" &&
		check nested-up nested_up disk && nested_disk_checks
	end blk-nested-embedded
	guest_gone l1
}

wanted ts-on-xen && ts_on_xen
wanted net-nested-embedded && net_nested_embedded
wanted blk-nested-embedded && blk_nested_embedded
wanted net-nested-restore && net_nested_restore
