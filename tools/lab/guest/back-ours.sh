# Our netback in dom0 serves stock Linux guests, PV and PVH, one under pv-shim, and our own front.
servers
nestfrontd --layer xen --name back >/tmp/back.log 2>&1 &
BACK=$!

for type in pv pvh; do
	begin net-stock-ours-$type
	check create guest_create d1 $type stock 10.0.0.2
	net_suite d1
	offloads() {
		for f in 'tso off gso off' 'tx off sg off' 'tx on sg on tso on gso on'; do
			guest_do d1 10 "ethtool -K eth0 $f" >/dev/null
			guest_do d1 30 "nf-netperf client --host $HOST --port 7000 --seconds 1 --seed 5 --json" >/tmp/o.out
			grep -q '"ok":true' /tmp/o.out || { cat /tmp/o.out; echo "stream with $f"; return 1; }
		done
	}
	check offloads offloads
	end net-stock-ours-$type
	guest_gone d1
done
tail -n 30 /tmp/back.log

begin net-ours-ours
check create guest_create d2 pv ours 10.0.0.3
net_suite d2
guest_do d2 5 'cat /tmp/nestfrontd.log'
check static grep -q 'static grants' /tmp/back.log
end net-ours-ours
guest_gone d2
tail -n 30 /tmp/back.log
kill $BACK
