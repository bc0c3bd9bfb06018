# SPDX-License-Identifier: MIT
# What bad.sh does in dom0 and, typed on a console, in a guest.

# A nestfrontd that cannot run says why and what to do. refused BEFORE AFTER WORDS
refused() {
	eval "$1"
	nestfrontd --layer xen --name refused >/tmp/refused.log 2>&1
	_code=$?
	eval "$2"
	cat /tmp/refused.log
	[ $_code = 3 ] || { echo "it ended with $_code"; return 1; }
	grep -q "$3" /tmp/refused.log
}

no_folder() {
	refused 'mv /dev/xen /dev/away' 'mv /dev/away /dev/xen' '/dev/xen/xenbus is not there'
}
no_evtchn() { refused 'rmmod xen_evtchn' 'modprobe xen-evtchn' 'modprobe xen-evtchn'; }

# until_log FILE WORDS
until_log() {
	for i in $(seq 1 600); do
		grep -q "$2" $1 && return 0
		usleep 100000
	done
	tail -n 5 $1
	return 1
}

granted_limit=/sys/module/xen_gntalloc/parameters/limit

# front_start NAME
front_start() {
	nestfrontd --layer xen --name $1 >/tmp/$1.log 2>&1 &
	echo $! >/tmp/$1.pid
}

# Every nestfrontd here ends by itself when asked.
fronts_stop() {
	kill $(pidof nestfrontd)
	for i in $(seq 1 100); do
		pidof nestfrontd >/dev/null || return 0
		usleep 100000
	done
	echo 'a nestfrontd does not stop'
	return 1
}

# Runs the very command it prints. unbind DEVICE
unbind() { eval "$(sed -n "s/.*has $1: \(echo .*unbind\), and.*/\1/p" /tmp/bound.log)"; }

driver_bound() {
	modprobe xen-netfront
	front_start bound
	until_log /tmp/bound.log 'has vif-0: echo' && until_log /tmp/bound.log 'has vif-1: echo' ||
		return 1
	unbind vif-0
	net_up
}

driver_gone() {
	fronts_stop && unbind vif-1 && rmmod xen-netfront
}

# Told before anything is granted, with a remedy that helps at once.
limit_before() {
	echo 300 >$granted_limit
	front_start front
	until_log /tmp/front.log 'wants 516 granted pages.*grants this guest 300' || return 1
	echo 700 >$granted_limit
	# enough for one: the other is not promised the same pages
	until_log /tmp/front.log 'device/vif/0: connected' && net_up || return 1
	! grep 'device/vif/1: pages or channels' /tmp/front.log
}

# The rest is another program's, which nothing tells beforehand: the device closes.
limit_reached() {
	front_start second
	until_log /tmp/second.log 'device/vif/1: pages or channels.*No space left' || return 1
	for i in $(seq 1 100); do
		[ "$(xenstore-read device/vif/1/state)" = 6 ] && break
		usleep 100000
	done
	cat /tmp/second.log
	[ "$(xenstore-read device/vif/1/state)" = 6 ]
}

limit_raised() {
	kill $(cat /tmp/second.pid)
	echo 8192 >$granted_limit
	until_log /tmp/front.log 'device/vif/1: connected'
}
