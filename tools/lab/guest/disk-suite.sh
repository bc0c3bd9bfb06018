# SPDX-License-Identifier: MIT
# What the disk scenarios check, for a guest whose console dom0 holds and whose xvda is IMAGE.
IMAGE=/run/disk.img
IMAGE_BYTES=50331648
OURS="script=block-nestfront,vdev=xvda,access=rw,target=$IMAGE"
STOCK='vdev=xvda,access=rw,target=/dev/loop0'

image_new() {
	rm -f $IMAGE
	dd if=/dev/zero of=$IMAGE bs=1 count=0 seek=$IMAGE_BYTES 2>/dev/null
}

# in_disk GUEST SECONDS COMMAND: in the guest, with the functions of blk.sh
in_disk() { guest_do $1 $2 "(. /lab/blk.sh; $3)"; }

# blk_said: nf-diskcheck's result on the console is right, and counts
blk_said() {
	cat /tmp/blk.out
	[ -n "$(number verifyErrors </tmp/blk.out)" ] || return 1
	say "blk verifyErrors $(number verifyErrors </tmp/blk.out)"
	grep -q '"ok":true' /tmp/blk.out || return 1
	say "blk bytes $(number bytes </tmp/blk.out)"
}

# verified GUEST SEED: all of the disk written with a pattern, read again
verified() {
	in_disk $1 120 "nf-diskcheck write \$disk --seed $2 &&
nf-diskcheck verify \$disk --seed $2" | grep -v '"test":"write"' >/tmp/blk.out
	blk_said
}

# A churn runs behind the console, so that one can look when it does not end.
churn() {
	in_disk $1 10 "rm -f /tmp/churn.out
nf-diskcheck churn \$disk $2 --discard >/tmp/churn.out 2>&1 &"
}
churn_said() {
	guest_do $1 120 'for i in $(seq 1 1000); do grep -q ok /tmp/churn.out && break
usleep 100000; done; cat /tmp/churn.out' >/tmp/blk.out
	blk_said && return 0
	in_disk $1 20 disk_look
	return 1
}

# churned GUEST SEED SECONDS: four at a time, discards and flushes among them
churned() {
	churn $1 "--seed $2 --seconds $3" && churn_said $1 &&
		[ "$(number discards </tmp/blk.out)" -gt 0 ] &&
		[ "$(number flushes </tmp/blk.out)" -gt 0 ]
}

# Blocks that a guest gives back are given back by the image.
discarded() {
	_was=$(stat -c %b $IMAGE)
	in_disk $1 60 'nf-diskcheck discard $disk --from 8388608 --bytes 33554432' || return 1
	_is=$(stat -c %b $IMAGE)
	echo "$IMAGE had $_was blocks, has $_is"
	[ $_is -lt $((_was - 60000)) ]
}

fsck_clean() {
	"$@" >/tmp/fsck.out 2>&1
	_rc=$?
	cat /tmp/fsck.out
	say "blk fsckClean $((_rc == 0))"
	return $_rc
}
files() {
	fsck_clean in_disk $1 120 files_write && fsck_clean in_disk $1 60 files_check &&
		fsck_clean /sbin/e2fsck -fn $IMAGE
}

disk_gone() { ! xenstore-exists /local/domain/0/backend/vbd/$1/51712; }

# disk_detach_attach GUEST FRONT DISK: xl takes it away and gives it back
disk_detach_attach() {
	_id=$(xl domid $1)
	in_disk $1 30 disk_down || return 1
	xl block-detach $1 xvda || return 1
	wait_for 20 disk_gone $_id || { echo "the back's node stays"; return 1; }
	/sbin/e2fsck -fn $IMAGE || return 1
	xl block-attach $1 "$3" || return 1
	in_disk $1 60 "disk_up $2" && fsck_clean in_disk $1 60 files_check
}

# Killed under load and started again, unknown to the guest.
disk_back_killed() {
	churn $1 '--seed 31 --seconds 8'
	for _kill in 1 2; do
		sleep 2
		kill -9 $BACK
		wait $BACK 2>/dev/null
		back_start || return 1
		wait_for 20 grep -q re-attached /tmp/back.$BACKS.log || {
			cat /tmp/back.$BACKS.log
			echo 'the new back does not re-attach'
			return 1
		}
		grep re-attached /tmp/back.$BACKS.log
	done
	churn_said $1
}

# The guest is destroyed with requests under way; its domain and its back's node must go.
disk_destroyed_under_load() {
	_id=$(xl domid $1)
	guest_complained $1
	in_disk $1 10 'nf-diskcheck churn $disk --seed 9 --seconds 90 \
>/tmp/load.out 2>&1 &'
	in_disk $1 30 '_was=$(disk_requests); usleep 2000000; _is=$(disk_requests)
echo "$_was requests, then $_is"; [ "$_is" -gt $((_was + 20)) ]' || { echo 'no load'; return 1; }
	guest_detach $1
	xl destroy $1
	wait_for 30 domain_gone $_id || { xl list; echo 'a zombie: pages mapped'; return 1; }
	wait_for 10 disk_gone $_id || { echo "the back's node stays"; return 1; }
}

# What every disk must carry. disk_suite GUEST FRONT
disk_suite() {
	check disk-up in_disk $1 90 "disk_up $2"
	check verified verified $1 11
	check discarded discarded $1
	check churned churned $1 12 4
	check files files $1
}
