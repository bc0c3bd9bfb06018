/* SPDX-License-Identifier: MIT */
/* unixListen, and SeqListener: accepts on a listening SOCK_SEQPACKET. */
#include "addon.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nf
{
namespace
{

/* A listening descriptor or negative errno. The file gets `mode` from the start. */
int Listen(const std::string &path, int type, mode_t mode)
{
	struct sockaddr_un addr = {};
	if (path.empty() || path.size() >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	addr.sun_family = AF_UNIX;
	memcpy(addr.sun_path, path.data(), path.size());
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode) < 0 ||
	    bind(fd, reinterpret_cast<struct sockaddr *>(&addr), sizeof(addr)) < 0 ||
	    listen(fd, 64) < 0) {
		int err = errno;
		close(fd);
		return -err;
	}
	return fd;
}

NAN_METHOD(UnixListen)
{
	std::string path;
	int64_t type, mode;
	if (!ArgString(info, 0, "path", &path) ||
	    !ArgInt(info, 1, "type", SOCK_STREAM, SOCK_SEQPACKET, &type) ||
	    !ArgInt(info, 2, "mode", 0, 0777, &mode))
		return;
	int fd = Listen(path, static_cast<int>(type), static_cast<mode_t>(mode));
	if (fd < 0)
		return ThrowSystem(-fd, "listen");
	info.GetReturnValue().Set(fd);
}

class SeqListener final : public Nan::ObjectWrap, public Closable
{
      public:
	static NAN_METHOD(New);
	static NAN_METHOD(RefLoop);
	static NAN_METHOD(UnrefLoop);
	static NAN_METHOD(CloseListener);
	static NAN_GETTER(GetFd);

	void CloseAtExit() override
	{
		on_connection_.Reset();
		Release();
	}

      private:
	SeqListener(const EnvRef &env, int fd, Poll *poll, int spare)
	    : env_(env), fd_(fd), spare_(spare), poll_(poll)
	{
	}
	void Release();
	void OnReady();

	EnvRef env_;
	int fd_;
	int spare_; /* given up to refuse a connection when descriptors have run out */
	Poll *poll_;
	Nan::Global<v8::Function> on_connection_;
};

void SeqListener::Release()
{
	if (fd_ < 0)
		return;
	poll_->Close();
	poll_ = nullptr;
	close(fd_);
	close(spare_);
	fd_ = -1;
}

void SeqListener::OnReady()
{
	Nan::HandleScope handles;
	v8::Local<v8::Object> self = handle();
	int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* or the loop would spin on a connection nobody can take */
		close(spare_);
		close(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
		spare_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return;
	}
	if (fd < 0)
		return; /* the connection went away again */
	v8::Local<v8::Value> argv[] = {Nan::New(fd)};
	Emit(env_, self, Nan::New(on_connection_), 1, argv);
}

NAN_METHOD(SeqListener::New)
{
	int fd;
	v8::Local<v8::Function> fn;
	if (!info.IsConstructCall())
		return Nan::ThrowTypeError("use new SeqListener()");
	if (!ArgFd(info, 0, &fd) || !ArgFunction(info, 1, "onConnection", &fn))
		return;
	EnvRef env = EnvOf(info);
	Poll *poll = Poll::New(
		env->loop, fd,
		[](void *owner, int, int) { static_cast<SeqListener *>(owner)->OnReady(); },
		nullptr);
	if (!poll)
		return ThrowSystem(errno, "listen");
	SeqListener *l = new SeqListener(env, fd, poll, open("/dev/null", O_RDONLY | O_CLOEXEC));
	poll->SetOwner(l);
	l->Wrap(info.This());
	l->Ref();
	l->on_connection_.Reset(fn);
	env->open.insert(l);
	poll->Watch(UV_READABLE);
	info.GetReturnValue().Set(info.This());
}

NAN_METHOD(SeqListener::RefLoop)
{
	SeqListener *l = Nan::ObjectWrap::Unwrap<SeqListener>(info.This());
	if (l->poll_)
		l->poll_->SetRef(true);
}

NAN_METHOD(SeqListener::UnrefLoop)
{
	SeqListener *l = Nan::ObjectWrap::Unwrap<SeqListener>(info.This());
	if (l->poll_)
		l->poll_->SetRef(false);
}

NAN_METHOD(SeqListener::CloseListener)
{
	SeqListener *l = Nan::ObjectWrap::Unwrap<SeqListener>(info.This());
	if (l->fd_ < 0)
		return;
	l->Release();
	l->on_connection_.Reset();
	l->env_->open.erase(l);
	l->Unref();
}

NAN_GETTER(SeqListener::GetFd)
{
	(void)property;
	info.GetReturnValue().Set(Nan::ObjectWrap::Unwrap<SeqListener>(info.Holder())->fd_);
}

} // namespace

void InitSeqListener(v8::Local<v8::Object> target, v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(SeqListener::New,
									     data);
	tpl->SetClassName(Nan::New("SeqListener").ToLocalChecked());
	tpl->InstanceTemplate()->SetInternalFieldCount(1);
	SetMethod(tpl, "ref", SeqListener::RefLoop, data);
	SetMethod(tpl, "unref", SeqListener::UnrefLoop, data);
	SetMethod(tpl, "close", SeqListener::CloseListener, data);
	SetGetter(tpl, "fd", SeqListener::GetFd, data);
	Export(target, "unixListen", UnixListen, data);
	Nan::Set(target, Nan::New("SeqListener").ToLocalChecked(),
		 Nan::GetFunction(tpl).ToLocalChecked());
}

} // namespace nf
