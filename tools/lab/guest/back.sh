# SPDX-License-Identifier: MIT
# Our back in dom0: starting it, and what it must not leave behind.

back_start() {
	BACKS=$((${BACKS:-0} + 1))
	nestfrontd --layer xen --name back >/tmp/back.$BACKS.log 2>&1 &
	BACK=$!
	wait_for 10 grep -q ready /tmp/back.$BACKS.log || {
		say 'fault our back does not start'
		return 1
	}
	# field 41: SCHED_BATCH
	[ "$(cut -d' ' -f41 /proc/$BACK/stat)" = 3 ] || say 'fault our back is no batch process'
	[ -e /tmp/back.idle ] || back_holds >/tmp/back.idle || true # grep: nothing mapped
}

# Killed in the middle of a stream and started again, unknown to the guest: every byte arrives.
# back_killed GUEST TEST
back_killed() {
	guest_do $1 10 "nf-netperf client --host $HOST --port 7000 --patience 30 --seconds 9 \
--test $2 --seed 31 --json >/tmp/killed.out 2>&1 &"
	for _kill in 1 2; do
		sleep 2
		kill -9 $BACK
		wait $BACK 2>/dev/null
		back_start || return 1
	done
	guest_do $1 60 'for i in $(seq 1 500); do grep -q . /tmp/killed.out && break; usleep 100000
done; cat /tmp/killed.out' >/tmp/killed.out
	tail -n 5 /tmp/back.$BACKS.log
	cat /tmp/killed.out
	grep -q '"ok":true' /tmp/killed.out || return 1
	say "value bytes $(number bytes </tmp/killed.out)"
}

# Descriptors by what they are, and pages of others that are mapped.
back_holds() {
	ls -l /proc/$BACK/fd | sed -n 's/.*-> //p' | grep /dev/ | sort | uniq -c
	grep -c gntdev /proc/$BACK/maps
}

back_is_idle() { back_holds | cmp -s - /tmp/back.idle; }

# Nothing of a guest that went is left in our back.
back_clean() {
	wait_for 10 back_is_idle && return 0
	cat /tmp/back.idle
	back_holds
	echo 'our back still holds something of a guest that is gone'
	return 1
}

# For the host, which knows what each word means.
back_counters() { cp /run/nestfront/back/counters /mnt/$1.back.counters; }
