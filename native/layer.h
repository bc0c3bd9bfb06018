/* SPDX-License-Identifier: MIT */
/* A layer and what it handed out, shared by the JS objects around them. */
#ifndef NF_NATIVE_LAYER_H
#define NF_NATIVE_LAYER_H

#include "addon.h"

#include <deque>
#include <functional>

#define _Static_assert static_assert /* the C headers are C11 */
extern "C" {
#include "nf/layer.h"
#include "nf/ring.h"
}
#undef _Static_assert

namespace nf
{

class LayerJob;

/* Closed by its layer, at the latest. */
class Child
{
      public:
	virtual ~Child() = default;
	/* Ends all use from JS at once; returns the blocking rest: threadpool or exit. */
	virtual std::function<int()> Detach() = 0;
};

/* The C layer and the queue of its verbs: one runs at a time, in the order of the calls. */
class LayerCore
{
      public:
	LayerCore(const EnvRef &env, struct nf_layer *l) : env(env), layer(l)
	{
	}
	EnvRef env;
	struct nf_layer *layer; /* NULL once closed */
	bool closing = false;
	std::unordered_set<Child *> children;

	void Submit(std::unique_ptr<LayerJob> job);
	void JobReturned();

      private:
	bool busy_ = false;
	std::deque<std::unique_ptr<LayerJob>> waiting_;
};

using LayerRef = std::shared_ptr<LayerCore>;

class LayerJob : public Job
{
      public:
	LayerJob(const LayerRef &core, const char *op) : Job(core->env, op), core_(core)
	{
	}
	/* The environment ends before this one's turn: called in place of Start. No V8. */
	virtual void Skip()
	{
	}

      protected:
	void After() override
	{
		core_->JobReturned();
	}
	LayerRef core_;
};

enum class AtExit { kSkip, kRun /* it releases something */ };

/* A verb with nothing to return but a number, if that. */
class PlainJob final : public LayerJob
{
      public:
	PlainJob(const LayerRef &core, const char *op, AtExit at_exit, std::function<int()> run,
		 std::function<v8::Local<v8::Value>(int)> value = nullptr)
	    : LayerJob(core, op), at_exit_(at_exit), run_(std::move(run)), value_(std::move(value))
	{
	}
	void Skip() override
	{
		if (at_exit_ == AtExit::kRun)
			run_();
	}

      protected:
	int Run() override
	{
		return run_();
	}
	v8::MaybeLocal<v8::Value> Value() override
	{
		if (value_)
			return value_(status_);
		return Nan::Undefined().As<v8::Value>();
	}

      private:
	AtExit at_exit_;
	std::function<int()> run_;
	std::function<v8::Local<v8::Value>(int)> value_;
};

/* Queues the job and returns its promise to the caller of a method. */
void Submit(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core, std::unique_ptr<LayerJob> job);

class Ring;

/* Pages that JS may touch until their owner closes. Main thread only. */
class Region
{
      public:
	std::vector<uint8_t *> pages;
	bool readonly = false;
	bool open = true;
	std::unordered_set<Ring *> rings;

	size_t Bytes() const
	{
		return pages.size() * NF_PAGE_BYTES;
	}
	/* Start of `bytes` at `offset` when they are contiguous in memory, else NULL. */
	uint8_t *Span(size_t offset, size_t bytes) const;
	void Close(); /* and its rings */
};

using RegionRef = std::shared_ptr<Region>;

/* Methods that arenas and mappings have in common; `region` is the receiver's. */
void RegionRead(Nan::NAN_METHOD_ARGS_TYPE info, const RegionRef &region);
void RegionWrite(Nan::NAN_METHOD_ARGS_TYPE info, const RegionRef &region);
void RegionRing(Nan::NAN_METHOD_ARGS_TYPE info, const EnvRef &env, const RegionRef &region,
		bool front);

/* Verbs that make objects, each in the file of what it makes. */
void VerbAlloc(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core);
void VerbMap(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core);
void VerbCopy(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core);
void VerbAllocChan(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core);
void VerbBindChan(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core);

/* The C struct inside an Arena or Channel, or NULL for anything else or a closed one. */
const struct nf_arena *ArenaOf(const EnvRef &env, v8::Local<v8::Value> value);
const struct nf_chan *ChannelOf(const EnvRef &env, v8::Local<v8::Value> value);

/* Constructors refuse calls that don't come from here. */
v8::MaybeLocal<v8::Object> Construct(const EnvRef &env, const Nan::Global<v8::Function> &ctor);
void RefuseNew(Nan::NAN_METHOD_ARGS_TYPE info);
/* A constant of one object. */
void Property(v8::Local<v8::Object> object, const char *name, v8::Local<v8::Value> value);

} // namespace nf

#endif
