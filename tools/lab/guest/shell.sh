# SPDX-License-Identifier: MIT
# dom0's prompt on the console. `exit` powers off.
modprobe xen-netback
servers
cat <<'EOF'
dom0 of the lab. guest_create d1 pv stock 10.0.0.2    stock front (ours: our front), pv, pvh or shim
                 guest_do d1 10 'ip addr'             types on its console; net_suite d1 tries all
                 rmmod xen-netback; back_start        our back in place of the kernel's
EOF
# this shell has the functions; the terminal is the console's
while read -r -p 'dom0# ' _line; do
	[ "$_line" = exit ] && break
	eval "$_line"
done
