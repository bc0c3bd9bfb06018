/* SPDX-License-Identifier: MIT */
/*
 * What the files of the addon share. Each JS object has a file of its own; all logic is in drivers/
 * or in lib/, the addon only marshals.
 *
 * Lifetimes: an open object holds a strong reference to its JS wrapper and is in its Env's list, so
 * it is never collected while open; close() drops both. Destructors thus have nothing to release
 * and touch no V8 handle. The Env's cleanup hook closes what is left, after running jobs returned.
 */
#ifndef NF_NATIVE_ADDON_H
#define NF_NATIVE_ADDON_H

#include <nan.h>
#include <uv.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace nf
{

/* Something to be closed when the environment (process or worker) ends. */
class Closable
{
      public:
	virtual ~Closable() = default;
	/* Releases everything at once, without calling into JS. Called at most once per open. */
	virtual void CloseAtExit() = 0;
};

/* One per environment. */
class Env
{
      public:
	v8::Isolate *isolate = nullptr;
	uv_loop_t *loop = nullptr;
	bool ending = false;
	bool constructing = false; /* by us: see RefuseNew */
	int jobs = 0;		   /* in the threadpool */
	std::unordered_set<Closable *> open;
	std::vector<uint8_t> receive; /* one message, shared by all sockets: used within one call */

	Nan::Global<v8::Function> layer, arena, mapping, channel, ring;
	Nan::Global<v8::FunctionTemplate> arena_template, channel_template;
	/* worker_threads.markAsUntransferable: Node aborts where only V8 refuses to move */
	Nan::Global<v8::Function> mark_untransferable;

	void JobDone();
	void End(void (*done)(void *), void *done_arg);

      private:
	void FinishEnd();
	void (*done_)(void *) = nullptr;
	void *done_arg_ = nullptr;
};

using EnvRef = std::shared_ptr<Env>;

/* The Env behind a function made by Export() or NewClass(). */
EnvRef EnvOf(const v8::Local<v8::Value> &data);
template <typename Info> EnvRef EnvOf(const Info &info)
{
	return EnvOf(info.Data());
}

void Export(v8::Local<v8::Object> target, const char *name, Nan::FunctionCallback fn,
	    v8::Local<v8::Value> data);

/* A prototype method that refuses foreign receivers. */
void SetMethod(v8::Local<v8::FunctionTemplate> tpl, const char *name, Nan::FunctionCallback fn,
	       v8::Local<v8::Value> data);
/* A class's only getter kind: a property of each instance. */
void SetGetter(v8::Local<v8::FunctionTemplate> tpl, const char *name, Nan::GetterCallback fn,
	       v8::Local<v8::Value> data);

/* err: positive errno. An Error with errno (negative), code and syscall. */
v8::Local<v8::Value> SystemError(int err, const char *op);
void ThrowSystem(int err, const char *op);

/* Argument i as an integer in [min, max]; false: a TypeError or RangeError was thrown. */
bool ArgInt(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, int64_t min, int64_t max,
	    int64_t *out);
bool ArgU16(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, uint16_t *out);
bool ArgU8(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, uint8_t *out);
/* A property of an object, as an integer in [0, max]; absent: fallback, unless that is negative. */
bool FieldInt(v8::Local<v8::Object> object, const char *name, int64_t max, int64_t fallback,
	      int64_t *out);
bool ArgFd(Nan::NAN_METHOD_ARGS_TYPE info, int i, int *out);
bool ArgString(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, std::string *out);
bool ArgFunction(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name,
		 v8::Local<v8::Function> *out);

struct Bytes {
	uint8_t *data = nullptr;
	size_t size = 0;
};
/* A view's bytes, valid until JS runs again. */
bool ArgBytes(Nan::NAN_METHOD_ARGS_TYPE info, int i, const char *name, Bytes *out);
bool ToBytes(v8::Local<v8::Value> value, Bytes *out);

/* Calls a function of an object's event table, as a turn of the loop of its own. */
void Emit(const EnvRef &env, v8::Local<v8::Object> self, v8::Local<v8::Function> fn, int argc,
	  v8::Local<v8::Value> *argv);

constexpr size_t kFdsMax = 253; /* SCM_MAX_FD */

/* Bytes of the next message (0: hung up) or negative errno; flags as of recvmsg. */
ssize_t ReceiveMessage(int fd, int flags, std::vector<uint8_t> *buffer, std::vector<int> *fds,
		       bool *truncated);
/* 0 or errno; EAGAIN: no room, nothing was sent. */
int SendOne(int fd, const Bytes &data, const std::vector<int> &fds);

/* A uv_poll that may outlive its owner until the loop has closed it. Never touches the fd. */
class Poll
{
      public:
	using Callback = void (*)(void *owner, int status, int events);
	/* NULL and errno when the descriptor can't be polled. */
	static Poll *New(uv_loop_t *loop, int fd, Callback cb, void *owner);
	void Watch(int events); /* 0 stops */
	void SetOwner(void *owner)
	{
		owner_ = owner;
	}
	void SetRef(bool on);
	void Close(); /* the object is gone for the caller */

      private:
	uv_poll_t handle_;
	Callback cb_;
	void *owner_;
};

/* One blocking verb: Run in the threadpool, then Settle (or Abandon when the env is ending). */
class Job
{
      public:
	explicit Job(const EnvRef &env, const char *op) : env_(env), op_(op)
	{
	}
	virtual ~Job() = default;
	v8::Local<v8::Promise> MakePromise();
	void Start(); /* owns itself from here on */

      protected:
	virtual int Run() = 0; /* >= 0 or negative errno; no V8 */
	/* The promise's value after a good Run; an empty handle means an exception is pending. */
	virtual v8::MaybeLocal<v8::Value> Value() = 0;
	virtual void Abandon()
	{
	} /* a good Run nobody will hear of: undo it; no V8 */
	virtual void After()
	{
	} /* always, last: no V8 */
	EnvRef env_;
	const char *op_;
	int status_ = 0;

      private:
	void Settle();
	uv_work_t request_;
	Nan::Global<v8::Context> context_;
	Nan::Global<v8::Promise::Resolver> resolver_;
};

void InitSeqSocket(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitSeqListener(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitFdWatch(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitSockets(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitMemory(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitLayer(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitArena(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitMapping(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitChannel(v8::Local<v8::Object> target, v8::Local<v8::Value> data);
void InitRing(v8::Local<v8::Object> target, v8::Local<v8::Value> data);

} // namespace nf

#endif
