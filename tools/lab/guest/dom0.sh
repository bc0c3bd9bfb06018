# SPDX-License-Identifier: MIT
# dom0: starts the toolstack, runs the job, powers off. Results are lines that begin with @@NF.
modprobe xen-privcmd || echo "@@NF fault module xen-privcmd"
modprobe bridge
brctl addbr xenbr0
ip addr add 10.0.0.1/24 dev xenbr0
ip link set xenbr0 up
xenstored --pid-file /run/xenstored.pid
xen-init-dom0 || echo "@@NF fault xen-init-dom0"
xenconsoled
echo "@@NF ready $(cut -d' ' -f1 /proc/uptime)"
modprobe virtio_pci
modprobe 9pnet_virtio
modprobe 9p
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 host /mnt || echo "@@NF fault 9p"
cp /mnt/vmlinux /mnt/domu.cpio /tmp/
cd /lib/modules && find . -name '*.ko' -exec sha256sum {} + |
	sed 's|^\([0-9a-f]*\)  ./\(.*\)|@@NF module \2 \1|'
cd /
. /lab/lib.sh
. /lab/suite.sh
. /lab/back.sh
. /lab/disk-suite.sh
. /lab/nested.sh
. /lab/$(option job).sh
sync
echo "@@NF done"
poweroff -f
