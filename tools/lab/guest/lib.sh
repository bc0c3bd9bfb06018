# SPDX-License-Identifier: MIT
# Shell library of dom0's jobs: talking to the host, guests, their consoles. Every line for the host
# begins with @@NF:
#   @@NF begin SCENARIO / @@NF end SCENARIO      what follows belongs to it
#   @@NF check NAME ok|fail DETAIL               one thing that must hold
#   @@NF value KEY NUMBER                        one figure
#   @@NF blk KEY NUMBER                          bytes, verifyErrors (both add up), fsckClean (0, 1)
#   @@NF counter END KEY NUMBER                  one counter of one end
#   @@NF module PATH SHA256                      one module that dom0 has
#   @@NF skip REASON                             the scenario could not be run here
#   @@NF note TEXT                               for whoever reads the console
#   @@NF fault TEXT                              wrong outside of any scenario
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
		tail -n 25 /tmp/check.out
		say "check $_name fail exit $_code: $(tail -n 1 /tmp/check.out | cut -c1-150)"
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

not() { ! "$@"; }

# wanted SCENARIO: false when others were asked for
wanted() {
	_only=$(option only)
	[ -z "$_only" ] && return 0
	case ":$_only:" in *":$1:"*) return 0 ;; esac
	return 1
}

begin() {
	dmesg -c >/dev/null 2>&1
	xl dmesg -c >/dev/null 2>&1
	rm -f /tmp/complaints.guests
	say "begin $1"
}
end() {
	check no-complaints complaints
	say "end $1"
}

# Of kernels' and Xen's logs on stdin what is a complaint, without times and numbers, one line each.
# Lines of slow emulation are no complaints.
complaints_in() {
	tr -d '\r' |
		grep -aE 'BUG|WARN|Oops|Call Trace|Kernel panic|\(XEN\).*(rror|grant_|event_ch)' |
		grep -vE 'clocksource|soft lockup|rcu_|Errors and warnings|TSC|hrtimer' |
		sed -e 's/^.*\[ *[0-9.]*\] *//' -e 's/[0-9a-fx]*[0-9][0-9a-fx]*/N/g' | sort -u
}

# What dom0, Xen and guests complained about since the last call.
complained() {
	{
		dmesg -c 2>/dev/null
		xl dmesg -c 2>/dev/null
		cat /tmp/complaints.guests 2>/dev/null
	} | complaints_in
	rm -f /tmp/complaints.guests
}

# guest_complained GUEST: keeps its kernel's log for `complained`, and empties it; before it goes
guest_complained() {
	guest_do $1 20 "dmesg -c | grep -E 'BUG|WARN|Oops|Call Trace'" >>/tmp/complaints.guests
	return 0
}

# Complaints that stock Linux at both ends did not cause in this boot.
complaints() {
	touch /tmp/complaints.base
	complained >/tmp/complaints.out
	grep -vxFf /tmp/complaints.base /tmp/complaints.out >/tmp/complaints.new
	cat /tmp/complaints.new
	! [ -s /tmp/complaints.new ]
}

# In every boot: the checker finds a complaint that is there. It is made here, and forgotten.
complaints_are_found() {
	complained >/tmp/complaints.before
	echo '<1>BUG: this is made by the lab' >/dev/kmsg
	complained | grep -qx 'BUG: this is made by the lab' || return 1
	cat /tmp/complaints.before >>/tmp/complaints.guests # as if not looked at
}

# guest_config NAME TYPE FRONT ADDRESS [xl config lines...]: TYPE is pv, pvh or shim, FRONT is
# stock, ours or none
guest_config() {
	_g=$1 _type=$2 _front=$3 _address=$4
	shift 4
	{
		echo "name=\"$_g\""
		case $_type in
		shim) echo 'type="pvh"'; echo 'pvshim=1' ;;
		*) echo "type=\"$_type\"" ;;
		esac
		echo 'kernel="/tmp/vmlinux"'
		echo 'vcpus=1'
		echo 'tsc_mode="native"'
		echo 'on_crash="destroy"'
		echo "extra=\"console=hvc0 loglevel=4 panic=1 mitigations=off lab.role=guest" \
			"lab.front=$_front lab.address=$_address xen_gntalloc.limit=8192\""
		for _line in "$@"; do echo "$_line"; done
	} >/tmp/$_g.cfg
	grep -q '^memory' /tmp/$_g.cfg || echo 'memory=320' >>/tmp/$_g.cfg
	grep -q '^vif' /tmp/$_g.cfg || echo 'vif=["bridge=xenbr0,script=vif-lab"]' >>/tmp/$_g.cfg
	grep -q '^ramdisk' /tmp/$_g.cfg || echo 'ramdisk="/tmp/domu.cpio"' >>/tmp/$_g.cfg
}

# guest_create NAME TYPE FRONT ADDRESS [xl config lines...]: boots it and waits for its shell
guest_create() {
	ip neigh flush dev xenbr0 # an earlier guest had this address and another MAC
	guest_config "$@"
	xl create -q /tmp/$1.cfg || return 1
	guest_attach $1
	wait_for 180 grep -q "@@GUEST ready" /tmp/$1.out || {
		tail -n 20 /tmp/$1.out
		echo "guest $1 did not come up"
		return 1
	}
}

# guest_attach NAME: takes the console, as one that types
guest_attach() {
	guest_detach $1
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

guest_detach() {
	[ -e /tmp/$1.console ] || return 0
	grep -aE 'BUG|Oops|Call Trace|Kernel panic' /tmp/$1.out >>/tmp/complaints.guests
	kill $(cat /tmp/$1.console /tmp/$1.writer) 2>/dev/null
	rm -f /tmp/$1.console /tmp/$1.writer
}

# guest_do NAME SECONDS COMMAND: runs a shell command in the guest; its output and exit code
guest_do() {
	_n=$(($(cat /tmp/$1.n) + 1))
	echo $_n >/tmp/$1.n
	_from=$(($(wc -l </tmp/$1.out) + 1))
	printf '{ %s\n} </dev/null; echo "@@END %d $?"\n' "$3" $_n >/tmp/$1.in
	if ! wait_for $2 grep -q "@@END $_n [0-9]" /tmp/$1.out; then
		tail -n +$_from /tmp/$1.out
		echo "guest $1: no answer within $2 s to: $3"
		return 124
	fi
	tail -n +$_from /tmp/$1.out | tr -d '\r' | grep -v '@@END'
	return $(sed -n "s/.*@@END $_n \([0-9]*\).*/\1/p" /tmp/$1.out)
}

# A destroyed guest whose pages somebody still maps stays in the list, without a name.
domain_gone() { ! xl list | awk '{ print $2 }' | grep -qx "$1"; }

# guest_gone NAME: destroys it, forgets its console
guest_gone() {
	_domid=$(xl domid $1 2>/dev/null)
	[ -n "$_domid" ] && [ -e /tmp/$1.console ] && guest_complained $1
	guest_detach $1
	[ -n "$_domid" ] || return 0
	xl destroy $1
	wait_for 20 domain_gone $_domid && return 0
	xl list
	say "check $1-destroyed fail the domain is still there"
}

servers() {
	[ -e /tmp/servers ] && kill $(cat /tmp/servers) 2>/dev/null
	iperf3 -s >/dev/null 2>&1 &
	echo $! >/tmp/servers
	nf-netperf server --port 7000 --max-seconds 3000 >/dev/null 2>&1 &
	echo $! >>/tmp/servers
}
