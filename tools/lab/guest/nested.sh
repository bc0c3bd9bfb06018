# SPDX-License-Identifier: MIT
# The nested stack in L1, a PVH guest called l1 whose image has Node.
NESTFRONT=/opt/nestfront

# nested_start [net|disk|isolated]
nested_start() {
	_what=${1:-net}
	if [ $_what = disk ]; then
		guest_do l1 10 'xenstore-write device/vbd/51712/nestfront/relayed 1'
	else
		guest_do l1 10 'xenstore-write device/vif/0/nestfront/relayed 1
echo nf0 >/tmp/ifname'
	fi
	guest_do l1 10 "cd $NESTFRONT/dist/tools/lab
node nested.js translate /tmp/counters $_what >/tmp/nested.out 2>/tmp/nested.log &
echo \$! >/tmp/nested.pid"
	guest_do l1 180 'for i in $(seq 1 1500); do grep -q connected /tmp/nested.out && break
[ -d /proc/$(cat /tmp/nested.pid) ] || break; usleep 100000; done
cat /tmp/nested.out /tmp/nested.log; xenstore-ls device; grep -q connected /tmp/nested.out'
}

# nested_up [disk]
nested_up() {
	nested_start $1 || return 1
	[ $_what = disk ] || guest_do l1 30 '. /lab/net.sh; net_up'
}

# By the names they have: after a restore one more process of that program holds event channels.
nested_down() {
	guest_do l1 40 'kill $(cat /tmp/nested.pid)
ours() { pidof node || grep -qx nestfrontd /proc/[0-9]*/comm; }
for i in $(seq 1 300); do ours >/dev/null || break; usleep 100000; done
cat /tmp/nested.log; ! ours'
}
