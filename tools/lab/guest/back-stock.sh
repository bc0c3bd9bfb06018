# SPDX-License-Identifier: MIT
# The provider is stock Linux: baseline, and our front against xen-netback.
modprobe xen-netback
servers

baseline() {
	begin baseline
	check create guest_create s1 pv stock 10.0.0.2
	net_suite s1
	check mtu-9000 mtu_9000 s1
	check offloads offloads s1
	check detach-attach detach_attach s1
	check destroyed-under-load destroyed_under_load s1
	check complaints-are-found complaints_are_found
	complained >/tmp/complaints.base
	end baseline
}

front_again() {
	guest_do d1 15 'kill $(pidof nestfrontd)
for i in $(seq 1 80); do pidof nestfrontd >/dev/null || break; usleep 100000; done
! pidof nestfrontd' || { echo 'our front does not stop'; return 1; }
	guest_do d1 40 'nestfrontd --layer xen --name front >>/tmp/nestfrontd.log 2>&1 &
. /lab/net.sh; usleep 500000; net_up' && guest_do d1 20 "ping -c 3 -i 0.3 -W 5 $HOST" &&
		seeded d1 TCP_STREAM 22 1
}

# Our front is not told: it finds itself in another domain, with all its grants gone.
save_restore() {
	# not to the share at once: 9p cannot send pages of another domain
	rm -f /tmp/save
	mkfifo /tmp/save
	cat /tmp/save >/mnt/d1.save &
	xl save d1 /tmp/save || return 1
	wait $!
	guest_detach d1
	xl restore /tmp/d1.cfg /mnt/d1.save || return 1
	rm -f /mnt/d1.save
	guest_attach d1
	guest_do d1 20 'cat /tmp/nestfrontd.log' || return 1
	guest_do d1 40 '. /lab/net.sh; net_up' && guest_do d1 20 "ping -c 3 -i 0.3 -W 5 $HOST" &&
		seeded d1 TCP_STREAM 23 1 && seeded d1 TCP_MAERTS 24 1
}

net_ours_stock() {
	begin net-ours-stock
	check create guest_create d1 pv ours 10.0.0.2
	net_suite d1
	check front-counters front_counters d1 net-ours-stock
	check mtu-9000 mtu_9000 d1
	check offloads offloads d1
	check detach-attach detach_attach d1
	check front-stopped-and-started front_again
	guest_do d1 5 'cat /tmp/nestfrontd.log'
	check save-restore save_restore
	check destroyed-under-load destroyed_under_load d1
	check next-guest guest_create d2 pv ours 10.0.0.2
	check next-guest-ping ping_sizes d2
	end net-ours-stock
	guest_gone d2
}

# always: what it complains about is what the next is compared with
baseline
wanted net-ours-stock && net_ours_stock
