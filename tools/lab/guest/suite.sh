# SPDX-License-Identifier: MIT
# What the scenarios check, for a guest whose console dom0 holds. HOST is dom0's address.

# number KEY: of a JSON object on stdin
number() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" | head -n 1; }

# What IP and ICMP counted here.
seen_here() { grep -E '^(Ip|Icmp):' /proc/net/snmp; }

# The first pings, sent while the two ends find each other (neighbours, bridge), need not all
# arrive. Some are lost now and then, nobody knows where: what both ends saw is printed then.
first_pings() {
	seen_here >/tmp/seen.before
	guest_do $1 30 "cp /proc/net/snmp /tmp/seen
ping -c 3 -i 0.2 -W 5 $HOST" >/tmp/ping.out 2>&1
	_came=$(sed -n 's/.* \([0-9]*\) packets received.*/\1/p' /tmp/ping.out)
	say "value firstPingsLost $((3 - ${_came:-0}))"
	[ "$_came" = 3 ] && return 0
	_vif=vif$(xl domid $1).0
	{
		cat /tmp/ping.out
		ip neigh
		grep $_vif /proc/net/dev
		cat /tmp/seen.before
		seen_here
		echo in the guest:
		guest_do $1 10 'grep -hE "^(Ip|Icmp):" /tmp/seen /proc/net/snmp
ip neigh; ip link; grep : /proc/net/dev'
	} 2>&1 | sed 's/^/@@NF note /'
}

ping_sizes() {
	first_pings $1
	guest_do $1 150 "(for s in 56 500 1472 1473 4000 9000 30000 65000; do
ping -c 3 -i 0.1 -W 5 -s \$s $HOST >/tmp/ping.out 2>&1
grep -q '3 packets received' /tmp/ping.out && continue
cat /tmp/ping.out; echo ping of \$s bytes lost packets; exit 1
done)" || return 1
	say "value lossPercent 0"
}

# seeded GUEST TEST SEED [SECONDS]: a seeded stream hashed at both ends
seeded() {
	guest_do $1 100 "nf-netperf client --host $HOST --port 7000 --patience 30 \
--test $2 --seconds ${4:-3} --seed $3 --json" >/tmp/seeded.out
	cat /tmp/seeded.out
	grep -q '"ok":true' /tmp/seeded.out || return 1
	say "value bytes $(number bytes </tmp/seeded.out)"
}

# iperf GUEST KEY FLAGS: throughput, for the record
iperf() {
	guest_do $1 40 "iperf3 -c $HOST -t 5 -J $3 >/tmp/iperf.json
grep -A8 sum_received /tmp/iperf.json | grep bits_per_second" >/tmp/iperf.out
	_bits=$(sed -n 's/.*bits_per_second"[^0-9]*\([0-9.e+]*\).*/\1/p' /tmp/iperf.out | head -n 1)
	[ -n "$_bits" ] || {
		cat /tmp/iperf.out
		guest_do $1 5 'tail -n 5 /tmp/iperf.json'
		return 1
	}
	say "value $2 $(echo $_bits | awk '{ printf "%.1f", $1 / 1e6 }')"
}

# set_mtu GUEST BYTES: at every interface on the way
set_mtu() {
	ip link set xenbr0 mtu $2 && ip link set vif$(xl domid $1).0 mtu $2 &&
		guest_do $1 10 ". /lab/net.sh; ip link set \$ifname mtu $2"
}

mtu_9000() {
	set_mtu $1 9000 && guest_do $1 30 "ping -c 3 -i 0.2 -W 5 -s 8900 $HOST" &&
		seeded $1 TCP_STREAM 13 2 && seeded $1 TCP_MAERTS 14 2 && set_mtu $1 1500 &&
		seeded $1 TCP_STREAM 15 1
}

# Every offload of the guest's interface off and on again under a stream each.
offloads() {
	for _set in 'tso off gso off' 'tx off sg off' 'tx on sg on tso on gso on'; do
		guest_do $1 10 ". /lab/net.sh; ethtool -K \$ifname $_set"
		seeded $1 TCP_STREAM 5 1 && seeded $1 TCP_MAERTS 6 1 && continue
		echo "stream with $_set"
		return 1
	done
}

backend_gone() { ! xenstore-exists /local/domain/0/backend/vif/$1/0; }

# xl takes the device away and gives it back.
detach_attach() {
	_id=$(xl domid $1)
	xl network-detach $1 0 || return 1
	wait_for 20 backend_gone $_id || { echo "the back's node stays"; return 1; }
	wait_for 10 not [ -e /sys/class/net/vif$_id.0 ] || { echo "vif$_id.0 stays"; return 1; }
	guest_do $1 20 '. /lab/net.sh; net_gone' || { echo "the guest's end stays"; return 1; }
	xl network-attach $1 bridge=xenbr0 script=vif-lab || return 1
	guest_do $1 40 '. /lab/net.sh; net_up' || { echo 'no link after it'; return 1; }
	guest_do $1 30 "ping -c 3 -i 0.2 -W 5 $HOST" && seeded $1 TCP_STREAM 21 1
}

# A stream without an end, so that something is in flight.
load() {
	guest_do $1 10 "nf-netperf client --host $HOST --port 7000 --patience 30 \
--seconds 90 --test $2 --seed 9 >/tmp/load.out 2>&1 &"
	_at=/sys/class/net/vif$(xl domid $1).0/statistics/$3
	_was=$(cat $_at)
	sleep 2
	[ $(($(cat $_at) - _was)) -gt 100000 ] || { echo "no load: $_was, $(cat $_at)"; return 1; }
}

# The guest is destroyed in the middle of a stream; its domain and its interface must go.
destroyed_under_load() {
	_id=$(xl domid $1)
	guest_complained $1
	load $1 TCP_STREAM rx_bytes || return 1
	guest_detach $1
	xl destroy $1
	wait_for 20 domain_gone $_id || { xl list; echo 'a zombie: pages mapped'; return 1; }
	wait_for 20 not [ -e /sys/class/net/vif$_id.0 ] || { echo "vif$_id.0 stays"; return 1; }
	wait_for 10 backend_gone $_id || { echo "the back's node stays"; return 1; }
	servers
}

# front_counters GUEST SCENARIO [END] [FILE]: a page of counters in the guest, for the host
front_counters() {
	guest_do $1 20 "gzip -c ${4:-/run/nestfront/front/counters} | base64" >/tmp/counters.64 &&
		base64 -d </tmp/counters.64 | gunzip -c >/mnt/$2.${3:-front}.counters
}

# The traffic every scenario must carry. net_suite GUEST
net_suite() {
	check ping-sizes ping_sizes $1
	check stream-up seeded $1 TCP_STREAM 11
	check stream-down seeded $1 TCP_MAERTS 12
	check iperf-up iperf $1 mbitUp ''
	check iperf-down iperf $1 mbitDown -R
}

# The baseline of complaints, in boots that have no scenario of stock ends: the same things happen.
quick_baseline() {
	modprobe xen-netback
	dmesg -c >/dev/null
	xl dmesg -c >/dev/null
	check baseline-create guest_create s0 pv stock 10.0.0.9 &&
		check baseline-ping ping_sizes s0 &&
		check baseline-stream seeded s0 TCP_STREAM 3 1 &&
		check baseline-destroy destroyed_under_load s0
	check baseline-complaints-are-found complaints_are_found
	complained >/tmp/complaints.base
	rmmod xen-netback || say "fault xen-netback does not unload"
}
