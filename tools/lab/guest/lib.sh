# Shell library of dom0's jobs. Every line for the host begins with @@NF:
#   @@NF begin SCENARIO / @@NF end SCENARIO      what follows belongs to it
#   @@NF check NAME ok|fail DETAIL               one thing that must hold
#   @@NF value KEY NUMBER                        one figure
#   @@NF note TEXT
XENCONSOLE=/usr/lib/xen-4.17/bin/xenconsole
HOST=10.0.0.1

say() { echo "@@NF $*"; }

# check NAME COMMAND...: runs it; its output goes to the console when it fails
check() {
	_name=$1
	shift
	if "$@" >/tmp/check.out 2>&1; then
		grep '^@@NF' /tmp/check.out
		say "check $_name ok"
	else
		_code=$?
		tail -n 15 /tmp/check.out
		say "check $_name fail exit $_code: $(tail -n 1 /tmp/check.out | tr -d '\r\t' | cut -c1-150)"
		return 1
	fi
}

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
	_left=$(($1 * 10))
	shift
	while ! "$@" >/dev/null 2>&1; do
		_left=$((_left - 1))
		[ $_left -gt 0 ] || return 1
		usleep 100000
	done
}

# guest_create NAME TYPE FRONT ADDRESS [xl config lines...]: FRONT is stock or ours
guest_create() {
	_g=$1 _type=$2 _front=$3 _address=$4
	shift 4
	{
		echo "name=\"$_g\""
		echo "type=\"$_type\""
		echo 'kernel="/tmp/vmlinux"'
		echo 'ramdisk="/tmp/domu.cpio"'
		echo 'vcpus=1'
		echo 'tsc_mode="native"'
		echo 'on_crash="destroy"'
		echo "extra=\"console=hvc0 loglevel=4 panic=1 mitigations=off lab.role=guest lab.front=$_front lab.address=$_address xen_gntalloc.limit=8192\""
		for _line in "$@"; do echo "$_line"; done
	} >/tmp/$_g.cfg
	grep -q '^memory' /tmp/$_g.cfg || echo 'memory=320' >>/tmp/$_g.cfg
	grep -q '^vif' /tmp/$_g.cfg || echo 'vif=["bridge=xenbr0,script=vif-lab"]' >>/tmp/$_g.cfg
	xl create -q /tmp/$_g.cfg || return 1
	guest_attach $_g
	wait_for 60 grep -q '@@GUEST ready' /tmp/$_g.out || {
		tail -n 20 /tmp/$_g.out
		echo "guest $_g did not come up"
		return 1
	}
}

# guest_attach NAME: takes the console, as one that types
guest_attach() {
	rm -f /tmp/$1.in
	mkfifo /tmp/$1.in
	: >/tmp/$1.out
	echo 0 >/tmp/$1.n
	$XENCONSOLE --interactive $(xl domid $1) </tmp/$1.in >>/tmp/$1.out 2>&1 &
	echo $! >/tmp/$1.console
	# a writer that stays, so that the console does not see the end of its input
	sleep 100000 >/tmp/$1.in &
	echo $! >/tmp/$1.writer
}

# guest_do NAME SECONDS COMMAND: runs a shell command in the guest; its output and exit code
guest_do() {
	_n=$(($(cat /tmp/$1.n) + 1))
	echo $_n >/tmp/$1.n
	_from=$(($(wc -l </tmp/$1.out) + 1))
	printf '{ %s\n} </dev/null; echo "@@END %d $?"\n' "$3" $_n >/tmp/$1.in
	if ! wait_for $2 grep -q "^@@END $_n [0-9]" /tmp/$1.out; then
		tail -n +$_from /tmp/$1.out
		echo "guest $1: no answer within $2 s to: $3"
		return 124
	fi
	tail -n +$_from /tmp/$1.out | tr -d '\r' | grep -v '^@@END'
	return $(sed -n "s/^@@END $_n \([0-9]*\).*/\1/p" /tmp/$1.out)
}

# guest_gone NAME: forgets its console; the domain may be gone already
guest_gone() {
	kill $(cat /tmp/$1.console /tmp/$1.writer) 2>/dev/null
	xl destroy $1 2>/dev/null
	wait_for 20 sh -c "! xl domid $1" || say "check $1-destroyed fail the domain is still there"
}

# number KEY: of a JSON object on stdin
number() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" | head -n 1; }

ping_sizes() {
	for _size in 56 500 1472 1473 4000 9000 30000 65000; do
		guest_do $1 30 "ping -c 3 -i 0.2 -W 5 -s $_size $HOST" >/tmp/ping.out 2>&1
		_rc=$?
		grep -q '3 packets received' /tmp/ping.out || {
			cat /tmp/ping.out
			echo "ping of $_size bytes lost packets ($_rc)"
			return 1
		}
	done
}

# seeded GUEST TEST SEED: a seeded stream hashed at both ends
seeded() {
	guest_do $1 40 "nf-netperf client --host $HOST --port 7000 --test $2 --seconds 3 --seed $3 --json" |
		tee /tmp/seeded.out
	grep -q '"ok":true' /tmp/seeded.out
}

# iperf GUEST KEY FLAGS: throughput, for the record
iperf() {
	guest_do $1 40 "iperf3 -c $HOST -t 5 -J $3 >/tmp/iperf.json; grep -A8 sum_received /tmp/iperf.json | grep bits_per_second" >/tmp/iperf.out || {
		cat /tmp/iperf.out
		return 1
	}
	_bits=$(sed -n 's/.*bits_per_second"[^0-9]*\([0-9.e+]*\).*/\1/p' /tmp/iperf.out | head -n 1)
	[ -n "$_bits" ] || { cat /tmp/iperf.out; return 1; }
	say "value $2 $(echo $_bits | awk '{ printf "%.1f", $1 / 1e6 }')"
}

# What Linux and Xen complained about since the last call; lines of slow emulation are no complaints.
complaints() {
	{
		dmesg -c 2>/dev/null
		xl dmesg -c 2>/dev/null
	} | grep -E 'BUG|WARN|Oops|Call Trace|\(XEN\).*(rror|grant_table|event_channel)' |
		grep -vE 'clocksource|soft lockup|rcu_|Errors and warnings|TSC|hrtimer' >/tmp/complaints.out
	! [ -s /tmp/complaints.out ] || { cat /tmp/complaints.out; return 1; }
}

# The traffic every scenario must carry. net_suite GUEST
net_suite() {
	check ping-sizes ping_sizes $1
	check stream-up seeded $1 TCP_STREAM 11
	check stream-down seeded $1 TCP_MAERTS 12
	check iperf-up iperf $1 mbitUp ''
	check iperf-down iperf $1 mbitDown -R
}

begin() {
	dmesg -c >/dev/null 2>&1
	xl dmesg -c >/dev/null 2>&1
	say "begin $1 $(cut -d' ' -f1 /proc/uptime)"
}
end() {
	check no-complaints complaints
	say "end $1 $(cut -d' ' -f1 /proc/uptime)"
}

servers() {
	iperf3 -s -D
	nf-netperf server --port 7000 --max-seconds 3000 >/dev/null 2>&1 &
}
