# SPDX-License-Identifier: MIT
# What `lab bench` does in dom0 and in guests alike.
. /lab/net.sh

# events NAME...: interrupts of event channels whose lines have one of the names
events() {
	_pattern=$(echo "$*" | tr ' ' '|')
	grep -E "$_pattern" /proc/interrupts | awk '{ s += $2 } END { print s + 0 }'
}

# words END FILE: every block of a page of counters that is used, as 64 numbers
words() {
	[ -e $2 ] || return 0
	# the page's header is no block; in a block's first word, above its sequence, is its kind
	od -A n -t u8 -v -w512 $2 | awk -v end=$1 'NR > 1 && $1 >= 4294967296 {
		printf "end=%s words=%s", end, $1
		for (i = 2; i <= NF; i++) printf ",%s", $i
		print ""
	}'
}

# Packets of 60 bytes as fast as the kernel makes them. flood INTERFACE SECONDS MAC
flood() {
	modprobe pktgen 2>/dev/null
	echo rem_device_all >/proc/net/pktgen/kpktgend_0
	echo "add_device $1" >/proc/net/pktgen/kpktgend_0
	for _line in 'count 0' 'pkt_size 60' 'delay 0' "dst_mac $3" 'dst 10.9.9.9'; do
		echo "$_line" >/proc/net/pktgen/$1
	done
	_start=$(uptime_ms)
	echo start >/proc/net/pktgen/pgctrl &
	_pg=$!
	sleep $2
	echo stop >/proc/net/pktgen/pgctrl
	wait $_pg
	echo "flooded $(($(uptime_ms) - _start))"
	echo rem_device_all >/proc/net/pktgen/kpktgend_0
}
uptime_ms() { sed 's/^\([0-9]*\)\.\([0-9]*\) .*/\1\20/' /proc/uptime; }

# A guest's own part of a sample.
counts() {
	_daemon=$(pidof nestfrontd | cut -d' ' -f1)
	[ -n "$_daemon" ] &&
		awk '{ print "C end=guest user=" $14 " system=" $15 }' /proc/$_daemon/stat
	echo "C end=guest events=$(events vif0- nestfrontd)"
	words front /run/nestfront/front/counters | sed 's/^/C /'
	[ -e /tmp/nested.pid ] || return 0
	kill -USR2 $(cat /tmp/nested.pid) # nested.js writes now
	usleep 700000
	sed -n 's/^@@NF counter \([a-z]*\) \([a-z_]*\) \([0-9]*\)/C end=\1 \2=\3/p' /tmp/counters
}
