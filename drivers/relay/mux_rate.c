/* SPDX-License-Identifier: MIT */
/* Credit a window, as xl's rate= means it, and its two store keys. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "relay/mux.h"

/* A guest must be able to send a frame of any size, or it would be stuck for ever. */
#define BURST_BYTES 131072u

void nf__mux_credit_init(struct nf__mux_credit *c, uint64_t per_window, uint64_t most,
			 uint64_t window_ns, uint64_t now_ns)
{
	*c = (struct nf__mux_credit){.per_window = per_window,
				     .left = per_window,
				     .most = per_window > most ? per_window : most,
				     .window_ns = window_ns,
				     .next_ns = now_ns + window_ns};
}

static void refill(struct nf__mux_credit *c, uint64_t now_ns)
{
	if (now_ns < c->next_ns)
		return;
	uint64_t windows = 1 + (now_ns - c->next_ns) / c->window_ns;
	c->next_ns += windows * c->window_ns;
	/* idle windows are not saved up, but for the burst that a large frame takes */
	if (windows > c->most / c->per_window)
		windows = c->most / c->per_window + 1;
	c->left += windows * c->per_window;
	if (c->left > c->most)
		c->left = c->most;
}

bool nf__mux_credit_take(struct nf__mux_credit *c, uint64_t much, uint64_t now_ns)
{
	if (c->per_window == 0)
		return true;
	refill(c, now_ns);
	if (c->left < much)
		return false;
	c->left -= much;
	return true;
}

static bool number(const char *text, uint64_t max, uint64_t *out, const char **end)
{
	char *stop;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long long v = strtoull(text, &stop, 10);
	if (errno || v > max)
		return false;
	*out = v;
	*end = stop;
	return true;
}

int nf_mux_rate_parse(const char *text, struct nf_mux_limits *out)
{
	uint64_t bytes, us;
	const char *end;
	if (!number(text, UINT64_MAX / 2, &bytes, &end) || *end != ',' ||
	    !number(end + 1, UINT32_MAX, &us, &end) || *end || bytes == 0 || us == 0)
		return -EINVAL;
	out->credit_bytes = bytes;
	out->credit_us = (uint32_t)us;
	return 0;
}

int nf_mux_pins_parse(const char *text, struct nf_mux_limits *out)
{
	struct nf_mux_limits found = *out;
	char one[64];
	found.pin_count = 0;
	for (;;) {
		text += strspn(text, " ");
		size_t n = strcspn(text, " ");
		if (n == 0)
			break;
		if (n >= sizeof(one) || found.pin_count == NF_MUX_PINS)
			return -EINVAL;
		memcpy(one, text, n);
		one[n] = '\0';
		text += n;
		struct nf_mux_pin *pin = &found.pins[found.pin_count++];
		*pin = (struct nf_mux_pin){.version = strchr(one, ':') ? 6 : 4};
		if (inet_pton(pin->version == 6 ? AF_INET6 : AF_INET, one, pin->bytes) != 1)
			return -EINVAL;
	}
	*out = found;
	return 0;
}
