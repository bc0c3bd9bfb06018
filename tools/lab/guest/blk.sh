# SPDX-License-Identifier: MIT
# A guest's disk xvda: sourced by what dom0 types on the console. Full paths, because busybox
# prefers its own mke2fs and nbd-client.
disk=$(cat /tmp/disk 2>/dev/null)

# until_true TENTHS COMMAND...
until_true() {
	_left=$1
	shift
	while ! "$@" >/dev/null 2>&1; do
		_left=$((_left - 1))
		[ $_left -gt 0 ] || return 1
		usleep 100000
	done
}

disk_has_sectors() { [ "$(cat /sys/block/${disk#/dev/}/size)" -gt 0 ]; }

nbd_up() {
	modprobe nbd
	until_true 300 [ -S $1 ] || { echo "no $1"; tail -n 5 /tmp/nestfrontd.log; return 1; }
	/sbin/nbd-client -unix $1 /dev/nbd0
}

# disk_up stock|ours|nested: the kernel's front, ours behind an NBD socket, or a nested one's socket
disk_up() {
	disk=/dev/nbd0
	case $1 in
	stock)
		disk=/dev/xvda
		modprobe xen-blkfront
		;;
	ours)
		until_true 100 xenstore-exists device/vbd/51712/state || return 1
		xenstore-write device/vbd/51712/nestfront/port nbd:/run/xvda.sock
		pidof nestfrontd >/dev/null ||
			nestfrontd --layer xen --name front >>/tmp/nestfrontd.log 2>&1 &
		nbd_up /run/xvda.sock || return 1
		;;
	nested) nbd_up /run/nested.sock || return 1 ;;
	esac
	echo $disk >/tmp/disk
	until_true 300 disk_has_sectors || { echo "$disk has no sectors"; return 1; }
}

# Lets go of it, so that it can be taken away.
disk_down() {
	[ $disk = /dev/xvda ] || /sbin/nbd-client -d $disk
}

# A file system with files: made, read again after a mount of its own, checked.
files_write() {
	echo /bin/modprobe >/proc/sys/kernel/modprobe
	for m in crc32c-intel crc32c_generic ext4; do modprobe $m; done
	/sbin/mke2fs -q -t ext4 -F $disk && mkdir -p /fs && mount -t ext4 $disk /fs || return 1
	cp -r /lab /fs/lab
	for i in 1 2 3; do
		dd if=/dev/urandom of=/fs/file$i bs=64k count=$((i * 40)) 2>/dev/null || return 1
	done
	rm /fs/file2
	(cd /fs && find . -type f -exec sha256sum {} +) >/tmp/files.sums
	umount /fs && fsck
}
files_check() {
	mount -t ext4 $disk /fs || return 1
	(cd /fs && sha256sum -c /tmp/files.sums >/tmp/files.out) || {
		cat /tmp/files.out
		return 1
	}
	wc -l </tmp/files.sums
	umount /fs && fsck
}
fsck() { /sbin/e2fsck -fn $disk; }

# Requests that the kernel counts for it: reads and writes done.
disk_requests() { awk '{ print $1 + $5 }' /sys/block/${disk#/dev/}/stat; }

# Where requests are that do not come back.
disk_look() {
	cat /sys/block/${disk#/dev/}/stat /sys/block/${disk#/dev/}/inflight
	for pid in $(pidof nestfrontd nf-diskcheck); do
		for task in /proc/$pid/task/*; do
			echo "$task $(cat $task/comm) $(cat $task/wchan)"
		done
	done
	grep -h blk_ /tmp/counters
	tail -n 5 /tmp/nested.log /tmp/nestfrontd.log
}
