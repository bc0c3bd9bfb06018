# SPDX-License-Identifier: MIT
# TypeScript on real Xen: the library in dom0, and a whole nested stack inside a guest.
NESTFRONT=/opt/nestfront
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

nested_up() {
	guest_do l1 10 "xenstore-write device/vif/0/nestfront/relayed 1
cd $NESTFRONT/dist/tools/lab
node nested.js translate /tmp/relay.json >/tmp/nested.out 2>/tmp/nested.log &
echo \$! >/tmp/nested.pid"
	guest_do l1 180 'for i in $(seq 1 1500); do grep -q connected /tmp/nested.out && break
usleep 100000; done; cat /tmp/nested.out /tmp/nested.log; grep -q connected /tmp/nested.out' ||
		return 1
	guest_do l1 30 '. /lab/net.sh; ifname=nf0; net_up'
}

relayed() { [ $(number tx_packets </tmp/relay.out) -gt 100 ]; }
# translate: the payload is L2's own pages, all the way to L0
not_copied() { [ "$(number payload_copies </tmp/relay.out)" = 0 ]; }

nested_down() {
	guest_do l1 40 'kill $(cat /tmp/nested.pid)
for i in $(seq 1 300); do pidof node nestfrontd >/dev/null || break; usleep 100000; done
cat /tmp/nested.log; ! pidof node nestfrontd'
}

net_nested_embedded() {
	begin net-nested-embedded
	modprobe xen-netback
	check create guest_create l1 pvh none 10.0.0.4 'memory=900' 'ramdisk="/mnt/l1.cpio"'
	check nested-up nested_up
	net_suite l1
	guest_do l1 5 'cat /tmp/relay.json; tail -n 20 /tmp/nested.log' >/tmp/relay.out
	cat /tmp/relay.out
	for key in tx_packets rx_packets payload_copies grant_copies grant_maps notify_sent; do
		say "counter relay $key $(number $key </tmp/relay.out)"
	done
	check relayed relayed
	check payload-not-copied not_copied
	check taken-down nested_down
	check up-again nested_up
	check destroyed-under-load destroyed_under_load l1
	end net-nested-embedded
	guest_gone l1
}

wanted ts-on-xen && ts_on_xen
wanted net-nested-embedded && net_nested_embedded
