# SPDX-License-Identifier: MIT
# Bad things. The two ends in turn; the store's death last, because Xen has no way back from it.
servers

. /lab/bad-things.sh

# in_front SECONDS COMMAND: in the guest, with the functions of bad-things.sh
in_front() {
	guest_do f1 $1 "(. /lab/net.sh; . /lab/bad-things.sh; ifname=nf0; $2)"
}
pings() { guest_do $1 20 "ping -c 3 -i 0.3 -W 5 $HOST"; }

front_driver_bound() {
	in_front 60 driver_bound && pings f1 && in_front 30 driver_gone
}
front_limit() { in_front 60 limit_before && pings f1; }
front_no_space() { in_front 60 limit_reached && pings f1 && in_front 60 limit_raised; }

bad_front() {
	begin bad-front
	check create guest_create f1 pv none 10.0.0.2 \
		'vif=["bridge=xenbr0,script=vif-lab","bridge=xenbr0,script=vif-lab"]'
	check no-folder in_front 20 no_folder
	check no-evtchn in_front 20 no_evtchn
	check driver-bound front_driver_bound
	check limit-told-before front_limit
	check limit-reached front_no_space
	check stream seeded f1 TCP_STREAM 41 1
	check destroyed-under-load destroyed_under_load f1
	end bad-front
}

back_driver_bound() {
	_id=$(xl domid b1)
	wait_for 10 grep -q "has vif-$_id-0: echo vif-$_id-0 > /sys/bus/xen-backend/drivers" \
		/tmp/back.*.log || { cat /tmp/back.*.log; return 1; }
	pings b1 || { echo 'the kernel has it'; return 1; }
	xl network-detach b1 0
	wait_for 20 backend_gone $_id || return 1
	rmmod xen-netback || return 1
	xl network-attach b1 bridge=xenbr0 script=vif-lab || return 1
	guest_do b1 40 '. /lab/net.sh; net_up' && pings b1
}

# A back that stands still keeps a dead guest's pages; when it goes on it lets go of them.
back_stands_still() {
	_id=$(xl domid b1)
	load b1 TCP_STREAM rx_bytes || return 1
	guest_detach b1
	kill -STOP $BACK
	xl destroy b1
	sleep 1
	domain_gone $_id && echo 'the domain went although its pages were mapped'
	kill -CONT $BACK
	wait_for 20 domain_gone $_id || { xl list; echo 'a zombie'; return 1; }
	wait_for 20 not [ -e /sys/class/net/vif$_id.0 ] || { echo "vif$_id.0 stays"; return 1; }
	back_clean
}

back_is_dead() {
	_id=$(xl domid b2)
	load b2 TCP_STREAM rx_bytes || return 1
	guest_detach b2
	kill -9 $BACK
	wait $BACK 2>/dev/null
	xl destroy b2
	wait_for 20 domain_gone $_id || { xl list; echo 'a zombie'; return 1; }
	servers
	back_start || return 1
	wait_for 20 not [ -e /sys/class/net/vif$_id.0 ] || { echo "vif$_id.0 stays"; return 1; }
	back_clean
}

bad_back() {
	begin bad-back
	modprobe xen-netback
	check no-folder no_folder
	check create guest_create b1 pv stock 10.0.0.2
	back_start
	check driver-bound back_driver_bound
	check destroyed-while-it-stands back_stands_still
	check next-guest guest_create b2 pv stock 10.0.0.2
	check destroyed-while-it-is-dead back_is_dead
	end bad-back
}

# alive_says LOG: the end that writes LOG has seen it, which takes a probe and a time-out
store_is_missed() { grep -q 'xenstored does not answer' /tmp/back.*.log; }

store_killed() {
	guest_do s1 10 "nf-netperf client --host $HOST --port 7000 --seconds 45 --test TCP_STREAM \
--seed 51 --json >/tmp/store.out 2>&1 &"
	sleep 2
	kill -9 $(pidof xenstored)
	wait_for 60 store_is_missed || { echo 'our back says nothing'; return 1; }
	guest_do s1 90 'for i in $(seq 1 800); do grep -q . /tmp/store.out && break; usleep 100000
done; cat /tmp/store.out' >/tmp/store.out
	cat /tmp/store.out
	grep -q '"ok":true' /tmp/store.out || return 1
	say "value bytes $(number bytes </tmp/store.out)"
}

front_misses_store() {
	guest_do s1 60 'for i in $(seq 1 500); do grep -q "xenstored does not answer" \
/tmp/nestfrontd.log && break; usleep 100000; done; tail -n 3 /tmp/nestfrontd.log
grep -q "xenstored does not answer" /tmp/nestfrontd.log'
}

front_stops() {
	guest_do s1 30 'kill $(pidof nestfrontd); for i in $(seq 1 100); do
pidof nestfrontd >/dev/null || break; usleep 100000; done; ! pidof nestfrontd'
}

back_stops() {
	kill $BACK
	wait_for 10 not kill -0 $BACK || return 1
	wait $BACK
}

# Nothing comes back with a new one: what it knew is gone. Ours must say what is wrong.
store_restarted() {
	xenstored --pid-file /run/xenstored.2
	nestfrontd --layer xen --name late >/tmp/late.log 2>&1 &
	_late=$!
	wait_for 40 not kill -0 $_late || { kill -9 $_late; cat /tmp/late.log; return 1; }
	wait $_late
	_code=$?
	cat /tmp/late.log
	[ $_code = 3 ]
}

bad_store() {
	begin bad-store
	[ -n "${BACK:-}" ] || back_start
	check create guest_create s1 pv ours 10.0.0.2
	check ping-sizes ping_sizes s1
	check stream-goes-on store_killed
	check front-says-so front_misses_store
	check new-traffic seeded s1 TCP_MAERTS 52 1
	check front-stops front_stops
	check back-stops back_stops
	check restarted-store store_restarted
	cat /tmp/late.log
	end bad-store
}

wanted bad-front && { modprobe xen-netback; bad_front; rmmod xen-netback; }
wanted bad-back && bad_back
wanted bad-store && bad_store
