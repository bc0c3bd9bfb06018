/* SPDX-License-Identifier: MIT */
/* One message with descriptors, in or out, never waiting. */
#include "addon.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace nf
{
namespace
{

union Control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(kFdsMax * sizeof(int))];
};

void TakeFds(const struct msghdr &msg, std::vector<int> *fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c;
	     c = CMSG_NXTHDR(const_cast<struct msghdr *>(&msg), c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		size_t before = fds->size();
		fds->resize(before + count);
		memcpy(fds->data() + before, CMSG_DATA(c), count * sizeof(int));
	}
}

} // namespace

ssize_t ReceiveMessage(int fd, int flags, std::vector<uint8_t> *buffer, std::vector<int> *fds,
		       bool *truncated)
{
	Control control;
	struct iovec iov = {buffer->data(), buffer->size()};
	struct msghdr msg = {};
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control.bytes);
	ssize_t n = recvmsg(fd, &msg, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	TakeFds(msg, fds);
	*truncated = (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
	return n;
}

int SendOne(int fd, const Bytes &data, const std::vector<int> &fds)
{
	Control control;
	struct iovec iov = {data.data, data.size};
	struct msghdr msg = {};
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (!fds.empty()) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
		memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
	}
	ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno;
	/* a local stream takes a few kilobytes whole or not at all */
	return static_cast<size_t>(n) == data.size ? 0 : EIO;
}

} // namespace nf
