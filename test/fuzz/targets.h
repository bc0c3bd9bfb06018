/* SPDX-License-Identifier: MIT */
#ifndef NF_FUZZ_TARGETS_H
#define NF_FUZZ_TARGETS_H

#include "fuzz.h"

void fuzz_ring_back(const uint8_t *data, size_t bytes);
void fuzz_ring_front(const uint8_t *data, size_t bytes);
void fuzz_net_back(const uint8_t *data, size_t bytes);
void fuzz_net_front(const uint8_t *data, size_t bytes);
void fuzz_net_ctrl(const uint8_t *data, size_t bytes);
void fuzz_blk_back(const uint8_t *data, size_t bytes);
void fuzz_blk_front(const uint8_t *data, size_t bytes);
void fuzz_headers(const uint8_t *data, size_t bytes);
void fuzz_relay_translate(const uint8_t *data, size_t bytes);
void fuzz_relay_copy(const uint8_t *data, size_t bytes);
void fuzz_xs_wire(const uint8_t *data, size_t bytes);
void fuzz_xenbus(const uint8_t *data, size_t bytes);
void fuzz_hv_reply(const uint8_t *data, size_t bytes);
void fuzz_canary_run(const uint8_t *data, size_t bytes);

#endif
