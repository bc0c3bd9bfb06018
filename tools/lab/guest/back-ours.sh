# SPDX-License-Identifier: MIT
# Our netback in dom0 serves stock Linux guests, PV and PVH, one under pv-shim, and our own front.
servers
quick_baseline
back_start

static_grants() { cat /tmp/back.*.log | grep -q 'static grants'; }

# front SCENARIO GUEST TYPE FRONT [xl config lines...]
front() {
	_scenario=$1 _guest=$2 _kind=$3 _impl=$4
	shift 4
	wanted $_scenario || return 0
	begin $_scenario
	check create guest_create $_guest $_kind $_impl 10.0.0.2 "$@"
	net_suite $_guest
	[ $_impl = stock ] || {
		check static-grants static_grants
		check front-counters front_counters $_guest $_scenario
	}
	back_counters $_scenario
	check mtu-9000 mtu_9000 $_guest
	check offloads offloads $_guest
	check detach-attach detach_attach $_guest
	check back-killed-up back_killed $_guest TCP_STREAM
	check back-killed-down back_killed $_guest TCP_MAERTS
	check destroyed-under-load destroyed_under_load $_guest
	check nothing-left back_clean
	end $_scenario
	guest_gone $_guest
}
front net-stock-ours-pv d1 pv stock
front net-stock-ours-pvh d2 pvh stock
front net-ours-ours d3 pv ours
front net-shim d4 shim stock 'memory=512'
tail -n 40 /tmp/back.*.log
kill $BACK
wait_for 10 not kill -0 $BACK || say 'fault our back does not stop'
