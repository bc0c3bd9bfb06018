# SPDX-License-Identifier: MIT
# First process of dom0 and of every guest of the lab. What it is for is on the command line:
# lab.role=dom0 lab.job=NAME [lab.only=...] [lab.rounds=N lab.window=SECONDS], or
# lab.role=guest [lab.front=stock|ours|none] [lab.address=10.0.0.N]
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH=/lib
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs run /run
rm -rf /var/run /var/lock
ln -s /run /var/run
mkdir -p /run/xen /run/xenstored /run/lock /var/lock /mnt
option() { sed -n "s/.*lab\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
role=$(option role)
modprobe xen-gntalloc limit=8192 || echo "@@NF fault module xen-gntalloc"
for m in xenfs xen-evtchn xen-gntdev tun; do modprobe $m || echo "@@NF fault module $m"; done
mount -t xenfs xenfs /proc/xen
ip link set lo up
. /lab/$role.sh
