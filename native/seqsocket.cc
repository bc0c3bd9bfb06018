/* SPDX-License-Identifier: MIT */
/* SeqSocket: a connected SOCK_SEQPACKET (or, peeking, stream) with descriptors, on the loop. */
#include "addon.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nf
{
namespace
{

constexpr size_t kMessageMax = 65536;
constexpr int kMessagesPerTurn = 16; /* others on the loop get their turn */

class SeqSocket final : public Nan::ObjectWrap, public Closable
{
      public:
	static NAN_METHOD(New);
	static NAN_METHOD(SendMessage);
	static NAN_METHOD(Pause);
	static NAN_METHOD(Resume);
	static NAN_METHOD(WantWritable);
	static NAN_METHOD(Consume);
	static NAN_METHOD(Again);
	static NAN_METHOD(RefLoop);
	static NAN_METHOD(UnrefLoop);
	static NAN_METHOD(CloseSocket);
	static NAN_GETTER(GetFd);
	static NAN_GETTER(GetUnread);

	void CloseAtExit() override
	{
		events_.Reset();
		Release();
	}

      private:
	SeqSocket(const EnvRef &env, int fd, Poll *poll, bool peek)
	    : env_(env), fd_(fd), poll_(poll), peek_(peek)
	{
	}
	void Open(v8::Local<v8::Object> self, v8::Local<v8::Object> events);
	void Close();
	void Release();
	void Rewatch();
	void OnReady(int status, int ready);
	bool ReadOne();
	void Hangup(int error);
	bool Call(const char *name, int argc, v8::Local<v8::Value> *argv);
	static SeqSocket *OpenOne(Nan::NAN_METHOD_ARGS_TYPE info);

	EnvRef env_;
	int fd_;
	Poll *poll_;
	bool peek_;	      /* messages stay in the socket until consumed */
	bool peeked_ = false; /* one was handed out and is still there */
	bool reading_ = true;
	bool want_writable_ = false;
	Nan::Global<v8::Object> events_;
};

void SeqSocket::Open(v8::Local<v8::Object> self, v8::Local<v8::Object> events)
{
	Wrap(self);
	Ref();
	events_.Reset(events);
	env_->open.insert(this);
	Rewatch();
}

void SeqSocket::Release()
{
	if (fd_ < 0)
		return;
	poll_->Close();
	poll_ = nullptr;
	close(fd_);
	fd_ = -1;
}

void SeqSocket::Close()
{
	if (fd_ < 0)
		return;
	Release();
	events_.Reset();
	env_->open.erase(this);
	Unref();
}

void SeqSocket::Rewatch()
{
	poll_->Watch(UV_DISCONNECT | (reading_ && !peeked_ ? UV_READABLE : 0) |
		     (want_writable_ ? UV_WRITABLE : 0));
}

bool SeqSocket::Call(const char *name, int argc, v8::Local<v8::Value> *argv)
{
	v8::Local<v8::Object> events = Nan::New(events_);
	v8::Local<v8::Value> fn;
	if (!Nan::Get(events, Nan::New(name).ToLocalChecked()).ToLocal(&fn) || !fn->IsFunction())
		return fd_ >= 0;
	Emit(env_, events, fn.As<v8::Function>(), argc, argv);
	return fd_ >= 0; /* the callback may have closed us */
}

void SeqSocket::Hangup(int error)
{
	v8::Local<v8::Object> events = Nan::New(events_);
	Close();
	events_.Reset(events); /* for the last call */
	v8::Local<v8::Value> argv[] = {Nan::New(error)};
	Call("onClose", 1, argv);
	events_.Reset();
}

bool SeqSocket::ReadOne()
{
	Nan::HandleScope handles;
	std::vector<int> fds;
	bool truncated = false;
	if (env_->receive.size() < kMessageMax)
		env_->receive.resize(kMessageMax);
	ssize_t n = ReceiveMessage(fd_, peek_ ? MSG_PEEK : 0, &env_->receive, &fds, &truncated);
	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n <= 0) { /* 0: hung up, or an empty message, which nobody honest sends */
		for (int fd : fds)
			close(fd);
		Hangup(static_cast<int>(n));
		return false;
	}
	peeked_ = peek_;
	v8::Local<v8::Array> list = Nan::New<v8::Array>(static_cast<int>(fds.size()));
	for (uint32_t i = 0; i < fds.size(); i++)
		Nan::Set(list, i, Nan::New(fds[i]));
	v8::Local<v8::Value> argv[] = {
		Nan::CopyBuffer(reinterpret_cast<char *>(env_->receive.data()),
				static_cast<uint32_t>(n))
			.ToLocalChecked(),
		list,
		Nan::New(truncated),
	};
	return Call("onMessage", 3, argv);
}

void SeqSocket::OnReady(int status, int ready)
{
	Nan::HandleScope handles;
	v8::Local<v8::Object> self = handle(); /* keeps us alive through the callbacks */
	(void)self;
	if (status < 0) {
		Hangup(status);
		return;
	}
	if ((ready & UV_WRITABLE) && want_writable_) {
		want_writable_ = false;
		Rewatch();
		if (!Call("onWritable", 0, nullptr))
			return;
	}
	if ((ready & UV_DISCONNECT) && (!reading_ || peeked_)) {
		Hangup(0);
		return;
	}
	for (int i = 0; i < kMessagesPerTurn && reading_ && !peeked_; i++) {
		if (!ReadOne())
			return;
	}
	if (peeked_)
		Rewatch(); /* or the loop would spin on what it has seen */
}

/* The receiver, or NULL with an exception when it is closed or not a SeqSocket. */
SeqSocket *SeqSocket::OpenOne(Nan::NAN_METHOD_ARGS_TYPE info)
{
	SeqSocket *s = Nan::ObjectWrap::Unwrap<SeqSocket>(info.This());
	if (s->fd_ >= 0)
		return s;
	ThrowSystem(ENODEV, "seqsocket");
	return nullptr;
}

NAN_METHOD(SeqSocket::New)
{
	int fd;
	if (!info.IsConstructCall())
		return Nan::ThrowTypeError("use new SeqSocket()");
	if (!ArgFd(info, 0, &fd))
		return;
	if (!info[1]->IsObject())
		return Nan::ThrowTypeError("events must be an object");
	int type = 0;
	socklen_t bytes = sizeof(type);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0)
		return ThrowSystem(errno, "seqsocket");
	bool peek = Nan::To<bool>(info[2]).FromMaybe(false);
	if (type != SOCK_SEQPACKET && !(peek && type == SOCK_STREAM))
		return ThrowSystem(EINVAL, "seqsocket");
	EnvRef env = EnvOf(info);
	Poll *poll = Poll::New(
		env->loop, fd,
		[](void *owner, int status, int ready) {
			static_cast<SeqSocket *>(owner)->OnReady(status, ready);
		},
		nullptr);
	if (!poll)
		return ThrowSystem(errno, "seqsocket");
	SeqSocket *s = new SeqSocket(env, fd, poll, peek);
	poll->SetOwner(s);
	s->Open(info.This(), info[1].As<v8::Object>());
	info.GetReturnValue().Set(info.This());
}

NAN_METHOD(SeqSocket::SendMessage)
{
	SeqSocket *s = OpenOne(info);
	Bytes data;
	std::vector<int> fds;
	if (!s || !ArgBytes(info, 0, "data", &data))
		return;
	if (data.size == 0 || data.size > kMessageMax)
		return Nan::ThrowRangeError("a message has 1 to 65536 bytes");
	if (info[1]->IsArray()) {
		v8::Local<v8::Array> list = info[1].As<v8::Array>();
		for (uint32_t i = 0; i < list->Length(); i++) {
			int32_t fd =
				Nan::To<int32_t>(Nan::Get(list, i).ToLocalChecked()).FromMaybe(-1);
			fds.push_back(fd);
		}
		ArgBytes(info, 0, "data", &data); /* JS may have run: look again */
	}
	if (fds.size() > kFdsMax)
		return Nan::ThrowRangeError("at most 253 descriptors a message");
	int err = SendOne(s->fd_, data, fds);
	if (err != 0 && err != EAGAIN)
		return ThrowSystem(err, "seqsocket.send");
	info.GetReturnValue().Set(err == 0);
}

NAN_METHOD(SeqSocket::Pause)
{
	SeqSocket *s = OpenOne(info);
	if (!s)
		return;
	s->reading_ = false;
	s->Rewatch();
}

NAN_METHOD(SeqSocket::Resume)
{
	SeqSocket *s = OpenOne(info);
	if (!s)
		return;
	s->reading_ = true;
	s->Rewatch();
}

NAN_METHOD(SeqSocket::WantWritable)
{
	SeqSocket *s = OpenOne(info);
	if (!s)
		return;
	s->want_writable_ = true;
	s->Rewatch();
}

/* consume(bytes): what was peeked leaves the socket; of a stream, so many bytes of it. */
NAN_METHOD(SeqSocket::Consume)
{
	SeqSocket *s = OpenOne(info);
	int64_t left;
	if (!s || !ArgInt(info, 0, "bytes", 1, static_cast<int64_t>(kMessageMax), &left))
		return;
	std::vector<uint8_t> scratch(static_cast<size_t>(left));
	while (left > 0) {
		ssize_t n = recv(s->fd_, scratch.data(), static_cast<size_t>(left), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* hung up meanwhile: the loop tells */
		left -= n;
	}
	s->peeked_ = false;
	s->Rewatch();
}

/* again(): looks again at what is in the socket, for the rest of it. */
NAN_METHOD(SeqSocket::Again)
{
	SeqSocket *s = OpenOne(info);
	if (!s)
		return;
	s->peeked_ = false;
	s->Rewatch();
}

NAN_METHOD(SeqSocket::RefLoop)
{
	SeqSocket *s = Nan::ObjectWrap::Unwrap<SeqSocket>(info.This());
	if (s->poll_)
		s->poll_->SetRef(true);
}

NAN_METHOD(SeqSocket::UnrefLoop)
{
	SeqSocket *s = Nan::ObjectWrap::Unwrap<SeqSocket>(info.This());
	if (s->poll_)
		s->poll_->SetRef(false);
}

NAN_METHOD(SeqSocket::CloseSocket)
{
	Nan::ObjectWrap::Unwrap<SeqSocket>(info.This())->Close();
}

NAN_GETTER(SeqSocket::GetFd)
{
	(void)property;
	info.GetReturnValue().Set(Nan::ObjectWrap::Unwrap<SeqSocket>(info.Holder())->fd_);
}

NAN_GETTER(SeqSocket::GetUnread)
{
	(void)property;
	SeqSocket *s = Nan::ObjectWrap::Unwrap<SeqSocket>(info.Holder());
	int bytes = 0;
	if (s->fd_ >= 0)
		ioctl(s->fd_, SIOCOUTQ, &bytes); /* can't fail on such a socket */
	info.GetReturnValue().Set(bytes);
}

} // namespace

void InitSeqSocket(v8::Local<v8::Object> target, v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(SeqSocket::New, data);
	tpl->SetClassName(Nan::New("SeqSocket").ToLocalChecked());
	tpl->InstanceTemplate()->SetInternalFieldCount(1);
	SetMethod(tpl, "send", SeqSocket::SendMessage, data);
	SetMethod(tpl, "pause", SeqSocket::Pause, data);
	SetMethod(tpl, "resume", SeqSocket::Resume, data);
	SetMethod(tpl, "wantWritable", SeqSocket::WantWritable, data);
	SetMethod(tpl, "consume", SeqSocket::Consume, data);
	SetMethod(tpl, "again", SeqSocket::Again, data);
	SetMethod(tpl, "ref", SeqSocket::RefLoop, data);
	SetMethod(tpl, "unref", SeqSocket::UnrefLoop, data);
	SetMethod(tpl, "close", SeqSocket::CloseSocket, data);
	SetGetter(tpl, "fd", SeqSocket::GetFd, data);
	SetGetter(tpl, "unread", SeqSocket::GetUnread, data);
	Nan::Set(target, Nan::New("SeqSocket").ToLocalChecked(),
		 Nan::GetFunction(tpl).ToLocalChecked());
}

} // namespace nf
