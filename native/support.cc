/* SPDX-License-Identifier: MIT */
/* Arguments, errors, events, descriptors on the loop, threadpool jobs. */
#include "addon.h"

#include <cerrno>
#include <cmath>
#include <cstring>

namespace nf
{

static std::string ErrnoName(int err)
{
	if (err == EDQUOT) /* libuv does not know it */
		return "EDQUOT";
	return uv_err_name(-err);
}

v8::Local<v8::Value> SystemError(int err, const char *op)
{
	std::string name = ErrnoName(err);
	std::string text = std::string(op) + ": " + name + ", " + strerror(err);
	v8::Local<v8::Value> error = Nan::Error(text.c_str());
	v8::Local<v8::Object> object = error.As<v8::Object>();
	Nan::Set(object, Nan::New("errno").ToLocalChecked(), Nan::New(-err));
	Nan::Set(object, Nan::New("code").ToLocalChecked(), Nan::New(name).ToLocalChecked());
	Nan::Set(object, Nan::New("syscall").ToLocalChecked(), Nan::New(op).ToLocalChecked());
	return error;
}

void ThrowSystem(int err, const char *op)
{
	Nan::ThrowError(SystemError(err, op));
}

/* Throws unless value is an integer in the range. */
static bool ToInt(v8::Local<v8::Value> given, const char *name, int64_t min, int64_t max,
		  int64_t *out)
{
	double value = given->IsNumber() ? given.As<v8::Number>()->Value() : NAN;
	if (std::isnan(value) || value != std::floor(value)) {
		Nan::ThrowTypeError((std::string(name) + " must be an integer").c_str());
		return false;
	}
	if (value < static_cast<double>(min) || value > static_cast<double>(max)) {
		std::string text = std::string(name) + " must lie in " + std::to_string(min) +
				   " to " + std::to_string(max);
		Nan::ThrowRangeError(text.c_str());
		return false;
	}
	*out = static_cast<int64_t>(value);
	return true;
}

bool ArgInt(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, int64_t min, int64_t max,
	    int64_t *out)
{
	return ToInt(info[i], name, min, max, out);
}

bool ArgU16(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, uint16_t *out)
{
	int64_t value;
	if (!ToInt(info[i], name, 0, UINT16_MAX, &value))
		return false;
	*out = static_cast<uint16_t>(value);
	return true;
}

bool ArgU8(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, uint8_t *out)
{
	int64_t value;
	if (!ToInt(info[i], name, 0, UINT8_MAX, &value))
		return false;
	*out = static_cast<uint8_t>(value);
	return true;
}

bool FieldInt(v8::Local<v8::Object> object, const char *name, int64_t max, int64_t fallback,
	      int64_t *out)
{
	v8::Local<v8::Value> value;
	if (!Nan::Get(object, Nan::New(name).ToLocalChecked()).ToLocal(&value))
		return false; /* a getter threw */
	if (value->IsUndefined() && fallback >= 0) {
		*out = fallback;
		return true;
	}
	return ToInt(value, name, 0, max, out);
}

bool ArgFd(Nan::NAN_METHOD_ARGS_TYPE info, int i, int *out)
{
	int64_t value;
	if (!ArgInt(info, i, "fd", 0, INT32_MAX, &value))
		return false;
	*out = static_cast<int>(value);
	return true;
}

bool ArgString(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, std::string *out)
{
	if (!info[i]->IsString()) {
		Nan::ThrowTypeError((std::string(name) + " must be a string").c_str());
		return false;
	}
	Nan::Utf8String text(info[i]);
	out->assign(*text, static_cast<size_t>(text.length()));
	return true;
}

bool ArgFunction(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name,
		 v8::Local<v8::Function> *out)
{
	if (!info[i]->IsFunction()) {
		Nan::ThrowTypeError((std::string(name) + " must be a function").c_str());
		return false;
	}
	*out = info[i].As<v8::Function>();
	return true;
}

bool ToBytes(v8::Local<v8::Value> value, Bytes *out)
{
	if (!value->IsArrayBufferView())
		return false;
	v8::Local<v8::ArrayBufferView> view = value.As<v8::ArrayBufferView>();
	uint8_t *start = static_cast<uint8_t *>(view->Buffer()->GetBackingStore()->Data());
	out->size = view->ByteLength();
	out->data = start ? start + view->ByteOffset() : nullptr;
	return true;
}

bool ArgBytes(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, Bytes *out)
{
	if (ToBytes(info[i], out))
		return true;
	Nan::ThrowTypeError((std::string(name) + " must be a Uint8Array").c_str());
	return false;
}

void Emit(const EnvRef &env, v8::Local<v8::Object> self, v8::Local<v8::Function> fn, int argc,
	  v8::Local<v8::Value> *argv)
{
	if (env->ending)
		return;
	/* an exception becomes uncaughtException; there is nothing to unwind here */
	(void)node::MakeCallback(env->isolate, self, fn, argc, argv, node::async_context{0, 0});
}

Poll *Poll::New(uv_loop_t *loop, int fd, Callback cb, void *owner)
{
	Poll *p = new Poll;
	p->cb_ = cb;
	p->owner_ = owner;
	int rc = uv_poll_init(loop, &p->handle_, fd);
	if (rc < 0) {
		delete p;
		errno = -rc;
		return nullptr;
	}
	p->handle_.data = p;
	return p;
}

void Poll::Watch(int events)
{
	if (events == 0) {
		uv_poll_stop(&handle_);
		return;
	}
	uv_poll_start(&handle_, events, [](uv_poll_t *handle, int status, int ready) {
		Poll *p = static_cast<Poll *>(handle->data);
		p->cb_(p->owner_, status, ready);
	});
}

void Poll::SetRef(bool on)
{
	uv_handle_t *handle = reinterpret_cast<uv_handle_t *>(&handle_);
	if (on)
		uv_ref(handle);
	else
		uv_unref(handle);
}

void Poll::Close()
{
	uv_poll_stop(&handle_);
	uv_close(reinterpret_cast<uv_handle_t *>(&handle_),
		 [](uv_handle_t *handle) { delete static_cast<Poll *>(handle->data); });
}

v8::Local<v8::Promise> Job::MakePromise()
{
	v8::Local<v8::Context> context = Nan::GetCurrentContext();
	v8::Local<v8::Promise::Resolver> resolver =
		v8::Promise::Resolver::New(context).ToLocalChecked();
	resolver_.Reset(resolver);
	context_.Reset(context);
	return resolver->GetPromise();
}

void Job::Start()
{
	request_.data = this;
	env_->jobs++;
	uv_queue_work(
		env_->loop, &request_,
		[](uv_work_t *request) {
			Job *job = static_cast<Job *>(request->data);
			job->status_ = job->Run();
		},
		[](uv_work_t *request, int) {
			Job *job = static_cast<Job *>(request->data);
			EnvRef env = job->env_;
			if (!env->ending)
				job->Settle();
			else if (job->status_ >= 0)
				job->Abandon();
			job->resolver_.Reset();
			job->context_.Reset();
			job->After();
			delete job;
			env->JobDone();
		});
}

void Job::Settle()
{
	v8::Isolate *isolate = env_->isolate;
	v8::HandleScope handles(isolate);
	v8::Local<v8::Promise::Resolver> resolver = Nan::New(resolver_);
	v8::Local<v8::Context> context = Nan::New(context_);
	v8::Context::Scope in_context(context);
	/* runs the promise's reactions when it ends */
	node::CallbackScope turn(isolate, v8::Object::New(isolate), node::async_context{0, 0});
	if (status_ < 0) {
		resolver->Reject(context, SystemError(-status_, op_)).FromMaybe(false);
		return;
	}
	v8::TryCatch caught(isolate);
	v8::Local<v8::Value> value;
	if (Value().ToLocal(&value))
		resolver->Resolve(context, value).FromMaybe(false);
	else
		resolver->Reject(context, caught.Exception()).FromMaybe(false);
}

} // namespace nf
