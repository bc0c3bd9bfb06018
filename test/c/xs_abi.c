/* SPDX-License-Identifier: MIT */
/* The xenstore wire as we state it against Xen's own header. */
#include "tap.h"

#if __has_include(<xen/io/xs_wire.h>)
#include <errno.h>
#include <xen/io/xs_wire.h>

#include "../../drivers/xenbus/xs_wire.h"

#define SAME(ours, xens) is((int64_t)(ours), (int64_t)(xens), #xens)

int main(void)
{
	SAME(sizeof(struct nf_xs_header), sizeof(struct xsd_sockmsg));
	SAME(offsetof(struct nf_xs_header, type), offsetof(struct xsd_sockmsg, type));
	SAME(offsetof(struct nf_xs_header, req_id), offsetof(struct xsd_sockmsg, req_id));
	SAME(offsetof(struct nf_xs_header, tx_id), offsetof(struct xsd_sockmsg, tx_id));
	SAME(offsetof(struct nf_xs_header, len), offsetof(struct xsd_sockmsg, len));
	SAME(NF_XS_PAYLOAD_MAX, XENSTORE_PAYLOAD_MAX);
	SAME(NF_XS_ABS_PATH_MAX, XENSTORE_ABS_PATH_MAX);
	SAME(NF_XS_REL_PATH_MAX, XENSTORE_REL_PATH_MAX);
	SAME(NF_XS_CONTROL, XS_CONTROL);
	SAME(NF_XS_DIRECTORY, XS_DIRECTORY);
	SAME(NF_XS_READ, XS_READ);
	SAME(NF_XS_GET_PERMS, XS_GET_PERMS);
	SAME(NF_XS_WATCH, XS_WATCH);
	SAME(NF_XS_UNWATCH, XS_UNWATCH);
	SAME(NF_XS_TRANSACTION_START, XS_TRANSACTION_START);
	SAME(NF_XS_TRANSACTION_END, XS_TRANSACTION_END);
	SAME(NF_XS_INTRODUCE, XS_INTRODUCE);
	SAME(NF_XS_RELEASE, XS_RELEASE);
	SAME(NF_XS_GET_DOMAIN_PATH, XS_GET_DOMAIN_PATH);
	SAME(NF_XS_WRITE, XS_WRITE);
	SAME(NF_XS_MKDIR, XS_MKDIR);
	SAME(NF_XS_RM, XS_RM);
	SAME(NF_XS_SET_PERMS, XS_SET_PERMS);
	SAME(NF_XS_WATCH_EVENT, XS_WATCH_EVENT);
	SAME(NF_XS_ERROR, XS_ERROR);
	SAME(NF_XS_IS_DOMAIN_INTRODUCED, XS_IS_DOMAIN_INTRODUCED);
	SAME(NF_XS_RESUME, XS_RESUME);
	SAME(NF_XS_SET_TARGET, XS_SET_TARGET);
	SAME(NF_XS_RESET_WATCHES, XS_RESET_WATCHES);
	SAME(NF_XS_DIRECTORY_PART, XS_DIRECTORY_PART);
	return done();
}
#else
int main(void)
{
	skip_all("no xen/io/xs_wire.h (libxen-dev)");
}
#endif
