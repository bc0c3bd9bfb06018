# SPDX-License-Identifier: MIT
# dom0's prompt on the console. `exit` or Ctrl-D powers off.
modprobe xen-netback
servers
stty rows "$(option rows)" cols "$(option columns)" </dev/console 2>/dev/null
cat /lab/shell.txt
# a shell with a terminal of its own: line editing, history, Ctrl-C; the lab's functions are in it
HOME=/root ENV=/lab/shell-env.sh setsid cttyhack sh -i
