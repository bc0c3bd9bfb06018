# A guest: brings its network up, then runs the lines that dom0 types on the console.
case $(option front) in
stock) modprobe xen-netfront ;;
ours) nestfrontd --layer xen --name front >/tmp/nestfrontd.log 2>&1 & ;;
esac
ifname=eth0
[ "$(option front)" = ours ] && ifname=nf0
net_up() {
	for i in $(seq 1 100); do
		[ -e /sys/class/net/$ifname ] && break
		usleep 100000
	done
	ip link set $ifname mtu ${1:-1500}
	ip addr replace $(option address)/24 dev $ifname
	ip link set $ifname up
	# ours exists before it is connected
	for i in $(seq 1 100); do
		[ "$(cat /sys/class/net/$ifname/carrier)" = 1 ] && break
		usleep 100000
	done
}
[ "$(option front)" = none ] || net_up
stty -echo
# the console is a shell without prompts: dom0 marks the ends of its commands itself
while :; do
	echo "@@GUEST ready"
	PS1= PS2= ENV=/lab/guest-env.sh sh -i 2>&1
done
