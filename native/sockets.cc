/* SPDX-License-Identifier: MIT */
/* Socket pairs, connections and credentials: what Node itself cannot do. */
#include "addon.h"

#include <fcntl.h>
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
	Export(target, "socketInfo", SocketInfo, data);
	Export(target, "peerCredentials", Credentials, data);
	Export(target, "dup", Dup, data);
	Export(target, "close", Close, data);
	SetInt(target, "AF_UNIX", AF_UNIX);
	SetInt(target, "SOCK_STREAM", SOCK_STREAM);
	SetInt(target, "SOCK_SEQPACKET", SOCK_SEQPACKET);
}

} // namespace nf
