# SPDX-License-Identifier: MIT
# Read by the console's shell.
stty -echo 2>/dev/null
PS1=
