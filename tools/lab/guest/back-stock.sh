# The provider is stock Linux: baseline, and our front against xen-netback.
modprobe xen-netback
servers

begin baseline
check create guest_create s1 pv stock 10.0.0.2
net_suite s1
end baseline
guest_gone s1

begin net-ours-stock
check create guest_create d1 pv ours 10.0.0.2
guest_do d1 5 'cat /tmp/nestfrontd.log'
net_suite d1
mtu_9000() {
	ip link set xenbr0 mtu 9000
	ip link set vif$(xl domid d1).0 mtu 9000
	guest_do d1 10 'ip link set nf0 mtu 9000' && guest_do d1 20 "ping -c 3 -i 0.2 -s 8900 $HOST"
}
check mtu-9000 mtu_9000
check stream-9000 seeded d1 TCP_STREAM 13
reattach() {
	guest_do d1 10 'kill $(pidof nestfrontd); sleep 2; pidof nestfrontd; cat /tmp/nestfrontd.log; ! pidof nestfrontd'
	guest_do d1 20 'nestfrontd --layer xen >/tmp/nestfrontd.log 2>&1 & sleep 3; ip addr replace 10.0.0.2/24 dev nf0; ip link set nf0 up; cat /tmp/nestfrontd.log'
	guest_do d1 20 "ping -c 3 -i 0.3 -W 5 $HOST"
}
check detach-attach reattach
end net-ours-stock

guest_gone d1
