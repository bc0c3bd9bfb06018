# SPDX-License-Identifier: MIT
# L1 with an L2 that nf-launch isolates, although L1's root is an initramfs; then L1 is saved and
# restored: its outer grants and ports end silently, and the relay must see it and start over.

# l2_do SECONDS COMMAND: inside L2; no single quotes in it
l2_do() { guest_do l1 $1 "nf-launch --join \$(cat /tmp/l2.pid) -- sh -c '$2'"; }

l2_link() {
	l2_do 60 'ip addr replace 10.0.0.4/24 dev nf0; ip link set nf0 up
for i in $(seq 1 400); do ip link show nf0 | grep -q LOWER_UP && exit 0; usleep 100000; done
ip link; exit 1'
}
l2_ping() { l2_do 40 "ping -c 3 -i 0.3 -W 5 -s ${1:-56} $HOST"; }
l2_stream() {
	l2_do 90 "nf-netperf client --host $HOST --port 7000 --patience 30 --test $1 --seconds 2 \
--seed $2 --json" >/tmp/l2.out
	cat /tmp/l2.out
	grep -q '"ok":true' /tmp/l2.out || return 1
	say "value bytes $(number bytes </tmp/l2.out)"
}

l2_up() {
	nested_start isolated || return 1
	guest_do l1 5 'sed -n "s/.*\"pid\":\([0-9]*\).*/\1/p" /tmp/nested.out >/tmp/l2.pid
cat /tmp/l2.pid; [ -s /tmp/l2.pid ]' && l2_link
}

# Its own root, processes and network; no way to what lies below its root; its filters.
l2_is_isolated() {
	l2_do 20 'ls /; [ ! -e /opt/nestfront/dist ] && [ ! -e /dev/xen ] && [ ! -e /lab ] || exit 1
umount -l / && exit 2
mount --move / /tmp && exit 3
[ $(ls -d /proc/[0-9]* | wc -l) -lt 8 ] || exit 4
exit 0' || return 1
	guest_do l1 10 'grep -E "^(Seccomp|NoNewPrivs)" /proc/$(cat /tmp/l2.pid)/status
[ $(sed -n "s/^Seccomp:[^0-9]*//p" /proc/$(cat /tmp/l2.pid)/status) = 2 ] &&
[ $(sed -n "s/^Seccomp_filters:[^0-9]*//p" /proc/$(cat /tmp/l2.pid)/status) -ge 2 ] &&
! ip link show nf0'
}

l1_restored() {
	rm -f /tmp/save
	mkfifo /tmp/save
	cat /tmp/save >/mnt/l1.save &
	xl save l1 /tmp/save || return 1
	wait $!
	guest_detach l1
	xl restore /tmp/l1.cfg /mnt/l1.save || return 1
	rm -f /mnt/l1.save
	guest_attach l1
	guest_do l1 60 'for i in $(seq 1 400); do grep -q "made anew" /tmp/nested.log && break
usleep 100000; done; cat /tmp/nested.log; grep -q "made anew" /tmp/nested.log'
}

restore_checks() {
	check l2-isolated l2_is_isolated
	check ping l2_ping
	check ping-large l2_ping 30000
	check stream-up l2_stream TCP_STREAM 61
	check restored l1_restored
	check link-again l2_link
	check ping-again l2_ping
	check stream-up-again l2_stream TCP_STREAM 62
	check stream-down-again l2_stream TCP_MAERTS 63
	guest_do l1 5 'tail -n 12 /tmp/nested.log'
	check taken-down nested_down
}

net_nested_restore() {
	begin net-nested-restore
	modprobe xen-netback
	check create guest_create l1 pvh none 10.0.0.4 'memory=900' 'ramdisk="/mnt/l1.cpio"' &&
		check l2-up l2_up && restore_checks
	end net-nested-restore
	guest_gone l1
}
