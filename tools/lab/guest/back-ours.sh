# SPDX-License-Identifier: MIT
# Our netback in dom0 serves stock Linux guests, PV and PVH, one under pv-shim, and our own front.
servers
quick_baseline
back_start

# stock_front SCENARIO GUEST TYPE [xl config lines...]
stock_front() {
	_scenario=$1 _guest=$2 _kind=$3
	shift 3
	begin $_scenario
	check create guest_create $_guest $_kind stock 10.0.0.2 "$@"
	net_suite $_guest
	check mtu-9000 mtu_9000 $_guest
	check offloads offloads $_guest
	check detach-attach detach_attach $_guest
	check destroyed-under-load destroyed_under_load $_guest
	check nothing-left back_clean
	end $_scenario
	guest_gone $_guest
}
stock_front net-stock-ours-pv d1 pv
stock_front net-stock-ours-pvh d2 pvh

begin net-ours-ours
check create guest_create d3 pv ours 10.0.0.3
net_suite d3
check static grep -q 'static grants' /tmp/back.log
check mtu-9000 mtu_9000 d3
check offloads offloads d3
check detach-attach detach_attach d3
check destroyed-under-load destroyed_under_load d3
check nothing-left back_clean
end net-ours-ours
guest_gone d3

stock_front net-shim d4 shim 'memory=512'
tail -n 60 /tmp/back.log
kill $BACK
wait_for 10 not kill -0 $BACK || say 'fault our back does not stop'
