# SPDX-License-Identifier: MIT
# Our back in dom0: starting it, and what it must not leave behind.

back_start() {
	nestfrontd --layer xen --name back "$@" >>/tmp/back.log 2>&1 &
	BACK=$!
	wait_for 5 grep -q ready /tmp/back.log || say "fault our back does not start"
	back_holds >/tmp/back.idle
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
