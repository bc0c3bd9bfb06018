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

# A pcap file of 8,192 frames of 60 bytes, to nobody.
recording() {
	printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0'
	{
		printf '\0\0\0\0\0\0\0\0\74\0\0\0\74\0\0\0' # a record: no time, 60 bytes, twice
		printf '\2\0\0\0\0\1\2\0\0\0\0\2\210\265'
		head -c 46 /dev/zero
	} >/tmp/record
	for _i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do
		cat /tmp/record /tmp/record >/tmp/records
		mv /tmp/records /tmp/record
	done
	cat /tmp/record
}

# unleashed SECONDS: our front, which stands still, runs for so long
unleashed() {
	_start=$(uptime_ms)
	kill -CONT $(pidof nestfrontd)
	sleep $1
	kill -STOP $(pidof nestfrontd)
	echo "ran $(($(uptime_ms) - _start))"
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
