/* SPDX-License-Identifier: MIT */
/* The NBD protocol as far as we speak it; names and numbers are those of its specification
 * (NetworkBlockDevice/nbd, doc/proto.md). Everything on the wire is big endian. */
#ifndef NF_PORT_NBD_WIRE_H
#define NF_PORT_NBD_WIRE_H

#include <stdint.h>
#include <string.h>

#define NBD_MAGIC 0x4e42444d41474943ull	   /* "NBDMAGIC" */
#define NBD_IHAVEOPT 0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_REP_MAGIC 0x3e889045565a9ull
#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698u
#define NBD_STRUCTURED_REPLY_MAGIC 0x668e33efu

#define NBD_FLAG_FIXED_NEWSTYLE 0x1u
#define NBD_FLAG_NO_ZEROES 0x2u

#define NBD_FLAG_HAS_FLAGS 0x001u
#define NBD_FLAG_READ_ONLY 0x002u
#define NBD_FLAG_SEND_FLUSH 0x004u
#define NBD_FLAG_SEND_FUA 0x008u
#define NBD_FLAG_SEND_TRIM 0x020u
#define NBD_FLAG_SEND_WRITE_ZEROES 0x040u
#define NBD_FLAG_SEND_DF 0x080u
#define NBD_FLAG_CAN_MULTI_CONN 0x100u

enum nbd_opt {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
};

#define NBD_REP_ACK 1u
#define NBD_REP_SERVER 2u
#define NBD_REP_INFO 3u
#define NBD_REP_ERR_UNSUP 0x80000001u
#define NBD_REP_ERR_INVALID 0x80000003u
#define NBD_REP_ERR_UNKNOWN 0x80000006u
#define NBD_REP_ERR_TOO_BIG 0x80000009u

#define NBD_INFO_EXPORT 0u
#define NBD_INFO_BLOCK_SIZE 3u

enum nbd_cmd {
	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_DISC = 2,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_TRIM = 4,
	NBD_CMD_WRITE_ZEROES = 6,
};

#define NBD_CMD_FLAG_FUA 0x1u
#define NBD_CMD_FLAG_NO_HOLE 0x2u
#define NBD_CMD_FLAG_DF 0x4u

#define NBD_REPLY_FLAG_DONE 0x1u /* the last chunk of a structured reply */

enum nbd_reply_type {
	NBD_REPLY_TYPE_OFFSET_DATA = 1,
	NBD_REPLY_TYPE_OFFSET_HOLE = 2,
	NBD_REPLY_TYPE_ERROR = 0x8001,
};

enum nbd_error {
	NBD_OK = 0,
	NBD_EPERM = 1,
	NBD_EIO = 5,
	NBD_EINVAL = 22,
	NBD_ENOSPC = 28,
	NBD_ENOTSUP = 95,
	NBD_ESHUTDOWN = 108,
};

#define NBD_OPTION_HEADER_BYTES 16u /* magic, option, length */
#define NBD_REQUEST_BYTES 28u	    /* magic, flags, type, cookie, offset, length */
#define NBD_REPLY_BYTES 16u	    /* simple: magic, error, cookie */
#define NBD_CHUNK_BYTES 20u	    /* structured: magic, flags, type, cookie, length */
#define NBD_HEAD_BYTES_MAX 32u	    /* of a reply, before data: a chunk's and a hole's 12 */
#define NBD_NAME_MAX 4096u	    /* the longest the specification allows */

static inline uint16_t nbd_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t nbd_get32(const uint8_t *p)
{
	return (uint32_t)nbd_get16(p) << 16 | nbd_get16(p + 2);
}

static inline uint64_t nbd_get64(const uint8_t *p)
{
	return (uint64_t)nbd_get32(p) << 32 | nbd_get32(p + 4);
}

static inline uint8_t *nbd_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static inline uint8_t *nbd_put32(uint8_t *p, uint32_t v)
{
	return nbd_put16(nbd_put16(p, (uint16_t)(v >> 16)), (uint16_t)v);
}

static inline uint8_t *nbd_put64(uint8_t *p, uint64_t v)
{
	return nbd_put32(nbd_put32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

#endif
