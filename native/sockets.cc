/* SPDX-License-Identifier: MIT */
/* Socket pairs, connections and credentials: what Node itself cannot do. */
#include "addon.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nf
{
namespace
{

void Pair(Nan::NAN_METHOD_ARGS_TYPE info, int type)
{
	int fds[2];
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return ThrowSystem(errno, "socketpair");
	v8::Local<v8::Array> out = Nan::New<v8::Array>(2);
	Nan::Set(out, 0, Nan::New(fds[0]));
	Nan::Set(out, 1, Nan::New(fds[1]));
	info.GetReturnValue().Set(out);
}

NAN_METHOD(SeqpacketPair)
{
	Pair(info, SOCK_SEQPACKET);
}

NAN_METHOD(StreamPair)
{
	Pair(info, SOCK_STREAM);
}

NAN_METHOD(SeqpacketConnect)
{
	std::string path;
	struct sockaddr_un addr = {};
	if (!ArgString(info, 0, "path", &path))
		return;
	if (path.empty() || path.size() >= sizeof(addr.sun_path))
		return ThrowSystem(ENAMETOOLONG, "connect");
	addr.sun_family = AF_UNIX;
	memcpy(addr.sun_path, path.data(), path.size());
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return ThrowSystem(errno, "connect");
	/* a local socket connects at once or not at all: EAGAIN is a full backlog */
	if (connect(fd, reinterpret_cast<struct sockaddr *>(&addr), sizeof(addr)) < 0) {
		int err = errno;
		close(fd);
		return ThrowSystem(err, "connect");
	}
	info.GetReturnValue().Set(fd);
}

/* True when the socket is ready in time; else errno is set. */
bool WaitReady(int fd, short events, int64_t ms)
{
	struct pollfd p = {fd, events, 0};
	int n = poll(&p, 1, static_cast<int>(ms));
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0 || (n < 0 && errno == EINTR);
}

union OneFd {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* seqpacketSend(socket, data, fd or -1, ms): blocks, for a peer that always reads */
NAN_METHOD(SeqpacketSend)
{
	int fd;
	Bytes data;
	int64_t sent, ms;
	OneFd control = {};
	if (!ArgFd(info, 0, &fd) || !ArgBytes(info, 1, "data", &data) ||
	    !ArgInt(info, 2, "fd", -1, INT32_MAX, &sent) || !ArgInt(info, 3, "ms", 0, 60000, &ms))
		return;
	struct iovec iov = {data.data, data.size};
	struct msghdr msg = {};
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (sent >= 0) {
		int one = static_cast<int>(sent);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(one));
		memcpy(CMSG_DATA(&control.align), &one, sizeof(one));
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
	}
	while (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		bool again = errno == EAGAIN && WaitReady(fd, POLLOUT, ms);
		if (errno == ETOOMANYREFS && ms > 0) { /* descriptors of others on their way */
			usleep(1000);
			ms--;
			again = true;
		}
		if (!again && errno != EINTR)
			return ThrowSystem(errno, "seqpacket.send");
	}
}

/* seqpacketReceive(socket, bytes, ms): {data, fd} with fd -1 when none came along */
NAN_METHOD(SeqpacketReceive)
{
	int fd, got = -1;
	int64_t bytes, ms;
	OneFd control = {};
	if (!ArgFd(info, 0, &fd) || !ArgInt(info, 1, "bytes", 1, 65536, &bytes) ||
	    !ArgInt(info, 2, "ms", 0, 60000, &ms))
		return;
	std::vector<char> buffer(static_cast<size_t>(bytes));
	struct iovec iov = {buffer.data(), buffer.size()};
	struct msghdr msg = {};
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control.bytes);
	ssize_t n;
	while ((n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0) {
		if (!(errno == EAGAIN && WaitReady(fd, POLLIN, ms)) && errno != EINTR)
			return ThrowSystem(errno, "seqpacket.receive");
	}
	if (n == 0)
		return ThrowSystem(ECONNRESET, "seqpacket.receive");
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&got, CMSG_DATA(c), sizeof(got));
	v8::Local<v8::Object> out = Nan::New<v8::Object>();
	Nan::Set(out, Nan::New("data").ToLocalChecked(),
		 Nan::CopyBuffer(buffer.data(), static_cast<uint32_t>(n)).ToLocalChecked());
	Nan::Set(out, Nan::New("fd").ToLocalChecked(), Nan::New(got));
	info.GetReturnValue().Set(out);
}

bool IntOption(int fd, int option, int *out)
{
	socklen_t bytes = sizeof(*out);
	return getsockopt(fd, SOL_SOCKET, option, out, &bytes) == 0;
}

void SetInt(v8::Local<v8::Object> object, const char *name, double value)
{
	Nan::Set(object, Nan::New(name).ToLocalChecked(), Nan::New(value));
}

NAN_METHOD(SocketInfo)
{
	int fd, domain, type;
	if (!ArgFd(info, 0, &fd))
		return;
	if (!IntOption(fd, SO_DOMAIN, &domain) || !IntOption(fd, SO_TYPE, &type))
		return ThrowSystem(errno, "getsockopt");
	v8::Local<v8::Object> out = Nan::New<v8::Object>();
	SetInt(out, "domain", domain);
	SetInt(out, "type", type);
	info.GetReturnValue().Set(out);
}

NAN_METHOD(Credentials)
{
	int fd;
	struct ucred cred;
	socklen_t bytes = sizeof(cred);
	if (!ArgFd(info, 0, &fd))
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) < 0)
		return ThrowSystem(errno, "getsockopt");
	v8::Local<v8::Object> out = Nan::New<v8::Object>();
	SetInt(out, "pid", cred.pid);
	SetInt(out, "uid", cred.uid);
	SetInt(out, "gid", cred.gid);
	info.GetReturnValue().Set(out);
}

NAN_METHOD(Dup)
{
	int fd;
	if (!ArgFd(info, 0, &fd))
		return;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return ThrowSystem(errno, "dup");
	info.GetReturnValue().Set(copy);
}

NAN_METHOD(Close)
{
	int fd;
	if (!ArgFd(info, 0, &fd))
		return;
	if (close(fd) < 0 && errno != EINTR)
		return ThrowSystem(errno, "close");
}

} // namespace

void InitSockets(v8::Local<v8::Object> target, v8::Local<v8::Value> data)
{
	Export(target, "seqpacketPair", SeqpacketPair, data);
	Export(target, "streamPair", StreamPair, data);
	Export(target, "seqpacketConnect", SeqpacketConnect, data);
	Export(target, "seqpacketSend", SeqpacketSend, data);
	Export(target, "seqpacketReceive", SeqpacketReceive, data);
	Export(target, "socketInfo", SocketInfo, data);
	Export(target, "peerCredentials", Credentials, data);
	Export(target, "dup", Dup, data);
	Export(target, "close", Close, data);
	SetInt(target, "AF_UNIX", AF_UNIX);
	SetInt(target, "SOCK_STREAM", SOCK_STREAM);
	SetInt(target, "SOCK_SEQPACKET", SOCK_SEQPACKET);
}

} // namespace nf
