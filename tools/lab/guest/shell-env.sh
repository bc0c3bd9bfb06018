# SPDX-License-Identifier: MIT
# Read by the shell of `lab shell`: what the scenarios call, to be typed by hand.
option() { sed -n "s/.*lab\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
for _part in lib suite back nested; do . /lab/$_part.sh; done
help() { cat /lab/shell.txt; }
PS1='dom0# '
cd /root
