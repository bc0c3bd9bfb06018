# SPDX-License-Identifier: MIT
# `lab bench`: six paths side by side in one boot, measured in turns. Each sample is one line of
# key=value; what is made of them is the host's business (bench.ts).
ROUNDS=$(option rounds)
WINDOW=$(option window)
modprobe xen-netback
servers
PATHS=$(option paths | tr ':' ' ')

# guest_of PATH
guest_of() {
	case $1 in
	stock-stock) echo ss ;;
	ours-stock) echo os ;;
	nested) echo l1 ;;
	stock-ours) echo so ;;
	ours-ours) echo oo ;;
	no-tap) echo nt ;;
	esac
}

start_all() {
	start stock-stock pv stock 10.0.0.2 || return 1
	start ours-stock pv ours 10.0.0.3 || return 1
	start nested pvh none 10.0.0.4 'memory=900' 'ramdisk="/mnt/l1.cpio"' || return 1
	# from now on devices are not the kernel's of themselves: ours takes them
	echo 0 >/sys/bus/xen-backend/drivers_autoprobe
	check back back_start || return 1
	start stock-ours pv stock 10.0.0.5 || return 1
	start ours-ours pv ours 10.0.0.6 || return 1
	case " $PATHS " in *" no-tap "*) check no-tap no_tap || return 1 ;; esac
	for _path in $PATHS; do
		_g=$(guest_of $_path)
		xl domid $_g >/tmp/$_g.domid
		[ $_path != no-tap ] || continue
		check ping-$_path guest_do $_g 30 "ping -c 3 -i 0.2 -W 5 $HOST" || return 1
		guest_do $_g 10 'nf-netperf server --port 7001 --max-seconds 7200 >/dev/null 2>&1 &'
	done
}

# Our ends without a TAP: the front's port is a recording that never ends, the back's takes all.
# The front stands still but in its own samples.
no_tap() {
	guest_create nt pv none 10.0.0.7 'vif=[]' || return 1
	guest_do nt 20 '. /lab/bench-lib.sh; recording >/tmp/small.pcap' || return 1
	_id=$(xl domid nt)
	_f=/local/domain/$_id/device/vif/0 _b=/local/domain/0/backend/vif/$_id/0
	xenstore-write $_f/backend $_b $_f/backend-id 0 $_f/handle 0 $_f/mac 00:16:3e:00:00:07 \
		$_f/nestfront/port pcap:in=/tmp/small.pcap,loop $_f/state 1
	xenstore-write $_b/frontend $_f $_b/frontend-id $_id $_b/handle 0 $_b/online 1 \
		$_b/mac 00:16:3e:00:00:07 $_b/nestfront/port null $_b/state 1
	xenstore chmod -r $_f n$_id r0
	xenstore chmod -r $_b n0 r$_id
	guest_do nt 60 'nestfrontd --layer xen --name front >/tmp/nestfrontd.log 2>&1 &
for i in $(seq 1 400); do grep -q connected /tmp/nestfrontd.log && break; usleep 100000; done
kill -STOP $(pidof nestfrontd); cat /tmp/nestfrontd.log; grep -q connected /tmp/nestfrontd.log'
}

# start PATH what guest_create wants after the name
start() {
	case " $PATHS " in *" $1 "*) ;; *) return 0 ;; esac
	_started=$1
	echo $4 >/tmp/$(guest_of $1).address
	shift
	check $_started guest_create $(guest_of $_started) "$@" || return 1
	[ $_started != nested ] || check nested-up nested_up
}

# What our back and the vif counted, and the processor time of our back in ticks.
# snapshot before|after GUEST DOMID
snapshot() {
	_dev=/sys/class/net/vif$3.0/statistics
	say "sample when=$1 end=vif tx=$(cat $_dev/rx_packets 2>/dev/null)" \
		"rx=$(cat $_dev/tx_packets 2>/dev/null) events=$(events vif$3.0- nestfrontd)" \
		"$(awk '{ print "user=" $14 " system=" $15 }' /proc/$BACK/stat)"
	words back /run/nestfront/back/counters | sed "s/^/@@NF sample when=$1 /"
	guest_do $2 20 ". /lab/bench-lib.sh; counts" | sed -n "s/^C /@@NF sample when=$1 /p"
}

# sample ROUND PATH BENCH
sample() {
	_guest=$(guest_of $2)
	_domid=$(cat /tmp/$_guest.domid) # asking xl takes a second
	say "sample begin round=$1 path=$2 bench=$3 domid=$_domid"
	snapshot before $_guest $_domid
	case $3_$2 in
	tcp_stream*) guest_do $_guest 60 "$(iperf_line)" ;;
	tcp_maerts*) guest_do $_guest 60 "$(iperf_line) -R" ;;
	tcp_rr*) guest_do $_guest 60 "nf-netperf client --host $HOST --port 7000 --patience 30 \
--test TCP_RR --seconds $WINDOW --json" ;;
	pps_tx_no-tap) guest_do nt 60 ". /lab/bench-lib.sh; unleashed $WINDOW" ;;
	pps_tx*) guest_do $_guest 60 "$(flood_line $HOST 7000)" ;;
	pps_rx*) $(flood_line $(cat /tmp/$_guest.address) 7001) ;;
	esac >/tmp/sample.out
	_rc=$?
	snapshot after $_guest $_domid
	tr -d '\r' </tmp/sample.out | result $3
	say "sample end ok=$_rc"
}
# datagrams of 18 bytes: frames of 60; a sender in whose way nobody throws them away sleeps
flood_line() {
	echo "nf-netperf client --host $1 --port $2 --patience 30 --test UDP_STREAM --message 18 \
--seconds $WINDOW --json"
}
iperf_line() { echo "iperf3 -c $HOST -t $WINDOW -J"; }

# result BENCH: its figure, out of what the program said
result() {
	case $1 in
	tcp_rr) sed -n 's/.*"transactionsPerSecond":\([0-9.]*\).*/@@NF sample value=\1/p' ;;
	pps_*)
		_ms=$(sed -n 's/^ran \([0-9]*\)$/\1/p') # no-tap's; a sender stops itself
		say "sample ms=${_ms:-$((WINDOW * 1000))}"
		;;
	*) grep -A8 sum_received |
		sed -n 's/.*bits_per_second"[^0-9]*\([0-9.e+]*\).*/@@NF sample value=\1/p' ;;
	esac
}

. /lab/bench-lib.sh
begin bench
start_all && for _round in $(seq 1 $ROUNDS); do
	for _bench in tcp_stream tcp_maerts pps_tx pps_rx tcp_rr; do
		for _path in $PATHS; do
			case $_path-$_bench in
			no-tap-pps_tx) ;;
			no-tap-*) continue ;;
			esac
			sample $_round $_path $_bench
		done
	done
done
end bench
kill $BACK
