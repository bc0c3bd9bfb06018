# SPDX-License-Identifier: MIT
# Disks: the kernel's back and ours, the kernel's front and ours. The first is also the baseline of
# complaints: the same things with stock ends.

# disk_guest NAME TYPE DISK [xl config lines...]
disk_guest() {
	_served=$1 _as=$2 _line=$3
	shift 3
	image_new
	guest_create $_served $_as none 10.0.0.9 'vif=[]' "disk=[\"$_line\"]" "$@"
}

# The loop device shows a new image: its guest of before is gone.
loop_new() {
	image_new
	losetup -d /dev/loop0 2>/dev/null
	losetup /dev/loop0 $IMAGE
}
stock_guest() {
	loop_new && guest_create $1 pv none 10.0.0.9 'vif=[]' "disk=[\"$STOCK\"]"
}

baseline_disk() {
	dmesg -c >/dev/null
	xl dmesg -c >/dev/null
	check baseline-create stock_guest s0 &&
		check baseline-disk-up in_disk s0 90 'disk_up stock' &&
		check baseline-churned churned s0 2 1 &&
		check baseline-destroy disk_destroyed_under_load s0
	check baseline-complaints-are-found complaints_are_found
	complained >/tmp/complaints.base
}

# Our front stops in order and starts again: what was written is there.
disk_front_again() {
	in_disk $1 40 'disk_down; kill $(pidof nestfrontd)
until_true 80 eval "! pidof nestfrontd"' || { echo 'our front does not stop'; return 1; }
	in_disk $1 90 'disk_up ours' && fsck_clean in_disk $1 60 files_check
}

# A disk of ours while xen-blkback is loaded: it would be the kernel's, so xl is told why not.
disk_refused() {
	xl block-attach $1 "script=block-nestfront,vdev=xvdb,access=rw,target=$IMAGE" \
		>/tmp/refused.out 2>&1 && return 1
	cat /tmp/refused.out
	grep -q 'script: .*rmmod xen-blkback' /tmp/refused.out
}

blk_ours_stock() {
	begin blk-ours-stock
	check create stock_guest d1
	disk_suite d1 ours
	check front-counters front_counters d1 blk-ours-stock
	check detach-attach disk_detach_attach d1 ours "$STOCK"
	check front-stopped-and-started disk_front_again d1
	check driver-bound disk_refused d1
	guest_do d1 5 'cat /tmp/nestfrontd.log'
	check destroyed-under-load disk_destroyed_under_load d1
	end blk-ours-stock
	guest_gone d1
}

# Grants as the two ends agreed on them last.
grants_are() { cat /tmp/back.*.log | grep connected: | tail -n 1 | grep "$1 grants"; }

# served SCENARIO GUEST TYPE FRONT GRANTS [xl config lines...]: our back
served() {
	_scenario=$1 _guest=$2 _kind=$3 _impl=$4 _grants=$5
	shift 5
	wanted $_scenario || return 0
	begin $_scenario
	check create disk_guest $_guest $_kind "$OURS" "$@"
	disk_suite $_guest $_impl
	check grants grants_are $_grants
	[ $_impl = stock ] || check front-counters front_counters $_guest $_scenario
	back_counters $_scenario
	check detach-attach disk_detach_attach $_guest $_impl "$OURS"
	check back-killed disk_back_killed $_guest
	check destroyed-under-load disk_destroyed_under_load $_guest
	check nothing-left back_clean
	tail -n 20 /tmp/back.$BACKS.log
	end $_scenario
	guest_gone $_guest
}

modprobe loop
modprobe xen-blkback
baseline_disk
wanted blk-ours-stock && blk_ours_stock
losetup -d /dev/loop0
rmmod xen-blkback || say 'fault xen-blkback does not unload'
back_start
served blk-stock-ours d2 pv stock persistent
served blk-ours-ours d3 pv ours registered
served blk-shim d4 shim stock persistent 'memory=512'
kill $BACK
wait_for 10 not kill -0 $BACK || say 'fault our back does not stop'
