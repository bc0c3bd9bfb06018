# SPDX-License-Identifier: MIT
# `lab bench`: five paths side by side in one boot, measured in turns. Each sample is one line of
# key=value; what is made of them is the host's business (bench.ts).
ROUNDS=$(option rounds)
WINDOW=$(option window)
modprobe pktgen || say 'fault no pktgen'
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
	esac
}

start_all() {
	start stock-stock pv stock 10.0.0.2 memory=256 || return 1
	start ours-stock pv ours 10.0.0.3 memory=256 || return 1
	start nested pvh none 10.0.0.4 'memory=900' 'ramdisk="/mnt/l1.cpio"' || return 1
	# from now on devices are not the kernel's of themselves: ours takes them
	echo 0 >/sys/bus/xen-backend/drivers_autoprobe
	check back back_start || return 1
	start stock-ours pv stock 10.0.0.5 memory=256 || return 1
	start ours-ours pv ours 10.0.0.6 memory=256 || return 1
	for _path in $PATHS; do
		_g=$(guest_of $_path)
		check ping-$_path guest_do $_g 30 "ping -c 3 -i 0.2 -W 5 $HOST" || return 1
		guest_do $_g 10 '. /lab/net.sh; cat /sys/class/net/$ifname/address' >/tmp/$_g.mac
	done
}

# start PATH what guest_create wants after the name
start() {
	case " $PATHS " in *" $1 "*) ;; *) return 0 ;; esac
	_started=$1
	shift
	check $_started guest_create $(guest_of $_started) "$@" || return 1
	[ $_started != nested ] || check nested-up nested_up
}

# What our back and the vif counted, and the processor time of our back in ticks.
# snapshot before|after GUEST
snapshot() {
	_dev=/sys/class/net/vif$(xl domid $2).0/statistics
	say "sample when=$1 end=vif tx=$(cat $_dev/rx_packets) rx=$(cat $_dev/tx_packets)" \
		"events=$(events vif$(xl domid $2).0- nestfrontd)" \
		"$(awk '{ print "user=" $14 " system=" $15 }' /proc/$BACK/stat)"
	words back /run/nestfront/back/counters | sed "s/^/@@NF sample when=$1 /"
	guest_do $2 20 ". /lab/bench-lib.sh; counts" | sed -n "s/^C /@@NF sample when=$1 /p"
}

# sample ROUND PATH BENCH
sample() {
	_guest=$(guest_of $2)
	_vif=vif$(xl domid $_guest).0
	say "sample begin round=$1 path=$2 bench=$3 domid=$(xl domid $_guest)"
	snapshot before $_guest
	case $3 in
	tcp_stream) guest_do $_guest 60 "$(iperf_line)" ;;
	tcp_maerts) guest_do $_guest 60 "$(iperf_line) -R" ;;
	tcp_rr) guest_do $_guest 60 "nf-netperf client --host $HOST --port 7000 --patience 30 \
--test TCP_RR --seconds $WINDOW --json" ;;
	pps_tx) guest_do $_guest 60 ". /lab/bench-lib.sh; flood \$ifname $WINDOW $BRIDGE_MAC" ;;
	pps_rx) flood $_vif $WINDOW $(cat /tmp/$_guest.mac) ;;
	esac >/tmp/sample.out
	_rc=$?
	snapshot after $_guest
	tr -d '\r' </tmp/sample.out | result $3
	say "sample end ok=$_rc"
}
iperf_line() { echo "iperf3 -c $HOST -t $WINDOW -J"; }

# result BENCH: its figure, out of what the program said
result() {
	case $1 in
	tcp_rr) sed -n 's/.*"transactionsPerSecond":\([0-9.]*\).*/@@NF sample value=\1/p' ;;
	pps_*) sed -n 's/^flooded \([0-9]*\).*/@@NF sample ms=\1/p' ;;
	*) grep -A8 sum_received |
		sed -n 's/.*bits_per_second"[^0-9]*\([0-9.e+]*\).*/@@NF sample value=\1/p' ;;
	esac
}

BRIDGE_MAC=$(cat /sys/class/net/xenbr0/address)
. /lab/bench-lib.sh
begin bench
start_all && for _round in $(seq 1 $ROUNDS); do
	for _bench in tcp_stream tcp_maerts pps_tx pps_rx tcp_rr; do
		for _path in $PATHS; do
			sample $_round $_path $_bench
		done
	done
done
end bench
kill $BACK
