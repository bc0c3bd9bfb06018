/* SPDX-License-Identifier: MIT */
/* FdWatch: tells when a descriptor that is no socket can be read; its bytes are the caller's. */
#include "addon.h"

#include <cerrno>

namespace nf
{
namespace
{

class FdWatch final : public Nan::ObjectWrap, public Closable
{
      public:
	static NAN_METHOD(New);
	static NAN_METHOD(RefLoop);
	static NAN_METHOD(UnrefLoop);
	static NAN_METHOD(CloseWatch);

	void CloseAtExit() override
	{
		on_readable_.Reset();
		Release();
	}

      private:
	FdWatch(const EnvRef &env, Poll *poll) : env_(env), poll_(poll)
	{
	}
	void Release();
	void OnReady();

	EnvRef env_;
	Poll *poll_;
	Nan::Global<v8::Function> on_readable_;
};

void FdWatch::Release()
{
	if (poll_)
		poll_->Close();
	poll_ = nullptr;
}

void FdWatch::OnReady()
{
	Nan::HandleScope handles;
	Emit(env_, handle(), Nan::New(on_readable_), 0, nullptr);
}

NAN_METHOD(FdWatch::New)
{
	int64_t fd;
	v8::Local<v8::Function> fn;
	if (!info.IsConstructCall())
		return Nan::ThrowTypeError("use new FdWatch()");
	if (!ArgInt(info, 0, "fd", 0, INT32_MAX, &fd) || !ArgFunction(info, 1, "onReadable", &fn))
		return;
	EnvRef env = EnvOf(info);
	Poll *poll = Poll::New(
		env->loop, static_cast<int>(fd),
		[](void *owner, int, int) { static_cast<FdWatch *>(owner)->OnReady(); }, nullptr);
	if (!poll)
		return ThrowSystem(errno, "watch");
	FdWatch *w = new FdWatch(env, poll);
	poll->SetOwner(w);
	w->Wrap(info.This());
	w->Ref();
	w->on_readable_.Reset(fn);
	env->open.insert(w);
	poll->Watch(UV_READABLE);
	info.GetReturnValue().Set(info.This());
}

NAN_METHOD(FdWatch::RefLoop)
{
	FdWatch *w = Nan::ObjectWrap::Unwrap<FdWatch>(info.This());
	if (w->poll_)
		w->poll_->SetRef(true);
}

NAN_METHOD(FdWatch::UnrefLoop)
{
	FdWatch *w = Nan::ObjectWrap::Unwrap<FdWatch>(info.This());
	if (w->poll_)
		w->poll_->SetRef(false);
}

NAN_METHOD(FdWatch::CloseWatch)
{
	FdWatch *w = Nan::ObjectWrap::Unwrap<FdWatch>(info.This());
	if (!w->poll_)
		return;
	w->Release();
	w->on_readable_.Reset();
	w->env_->open.erase(w);
	w->Unref();
}

} // namespace

void InitFdWatch(v8::Local<v8::Object> target, v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(FdWatch::New, data);
	tpl->SetClassName(Nan::New("FdWatch").ToLocalChecked());
	tpl->InstanceTemplate()->SetInternalFieldCount(1);
	SetMethod(tpl, "ref", FdWatch::RefLoop, data);
	SetMethod(tpl, "unref", FdWatch::UnrefLoop, data);
	SetMethod(tpl, "close", FdWatch::CloseWatch, data);
	Nan::Set(target, Nan::New("FdWatch").ToLocalChecked(),
		 Nan::GetFunction(tpl).ToLocalChecked());
}

} // namespace nf
