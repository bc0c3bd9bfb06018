/* SPDX-License-Identifier: MIT */
/* systemd's notification protocol (sd_notify(3)): a datagram to the socket in NOTIFY_SOCKET. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nfd.h"

void nfd_notify(const char *fmt, ...)
{
	const char *to = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char text[256];
	va_list ap;
	if (!to || (to[0] != '/' && to[0] != '@') || strlen(to) >= sizeof(a.sun_path))
		return;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	size_t bytes = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	memcpy(a.sun_path, to, strlen(to));
	if (to[0] == '@')
		a.sun_path[0] = '\0'; /* an abstract name */
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	/* a manager that does not listen must not hold a driver up */
	(void)!sendto(fd, text, bytes, MSG_NOSIGNAL, (struct sockaddr *)&a, len);
	close(fd);
}

uint32_t nfd_notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end;
	if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	unsigned long long us = strtoull(usec, &end, 10);
	if (end == usec || *end || us < 2000 || us > 86400000000ull)
		return 0;
	return (uint32_t)(us / 2000); /* twice as often as it must be */
}
