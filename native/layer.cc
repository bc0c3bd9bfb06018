/* SPDX-License-Identifier: MIT */
/* Layer: opening one of either kind, and the verbs of its table, as promises. */
#include "layer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nf
{

void LayerCore::Submit(std::unique_ptr<LayerJob> job)
{
	if (busy_) {
		waiting_.push_back(std::move(job));
		return;
	}
	busy_ = true;
	job.release()->Start();
}

void LayerCore::JobReturned()
{
	busy_ = false;
	while (env->ending && !waiting_.empty()) {
		waiting_.front()->Skip();
		waiting_.pop_front();
	}
	if (waiting_.empty())
		return;
	std::unique_ptr<LayerJob> next = std::move(waiting_.front());
	waiting_.pop_front();
	Submit(std::move(next));
}

void Submit(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core, std::unique_ptr<LayerJob> job)
{
	info.GetReturnValue().Set(job->MakePromise());
	core->Submit(std::move(job));
}

v8::MaybeLocal<v8::Object> Construct(const EnvRef &env, const Nan::Global<v8::Function> &ctor)
{
	env->constructing = true;
	v8::MaybeLocal<v8::Object> object = Nan::NewInstance(Nan::New(ctor));
	env->constructing = false;
	return object;
}

void RefuseNew(Nan::NAN_METHOD_ARGS_TYPE info)
{
	if (!info.IsConstructCall() || !EnvOf(info)->constructing)
		return Nan::ThrowTypeError("made by a layer, not by new");
	info.GetReturnValue().Set(info.This());
}

namespace
{

class Layer final : public Nan::ObjectWrap, public Closable
{
      public:
	explicit Layer(const LayerRef &core) : core_(core)
	{
	}
	template <void (*Verb)(Nan::NAN_METHOD_ARGS_TYPE, const LayerRef &)>
	static void Call(Nan::NAN_METHOD_ARGS_TYPE info);
	static NAN_METHOD(Donate);
	static NAN_METHOD(DonateChan);
	static NAN_METHOD(StoreFd);
	static NAN_METHOD(Clone);
	static NAN_METHOD(CloseLayer);
	static LayerRef OpenOne(Nan::NAN_METHOD_ARGS_TYPE info);

	void Open(v8::Local<v8::Object> self)
	{
		Wrap(self);
		Ref();
		core_->env->open.insert(this);
	}

	void CloseAtExit() override
	{
		for (Child *child : TakeChildren())
			child->Detach()();
		if (core_->layer)
			core_->layer->ops->close(core_->layer);
		core_->layer = nullptr;
	}

      private:
	std::unordered_set<Child *> TakeChildren()
	{
		core_->closing = true;
		return std::move(core_->children);
	}
	LayerRef core_;
};

LayerRef Layer::OpenOne(Nan::NAN_METHOD_ARGS_TYPE info)
{
	Layer *l = Nan::ObjectWrap::Unwrap<Layer>(info.This());
	if (!l->core_->closing)
		return l->core_;
	ThrowSystem(ENODEV, "layer");
	return nullptr;
}

/* A copy of the arena whose descriptor outlives an end() on its own layer meanwhile. */
NAN_METHOD(Layer::Donate)
{
	LayerRef core = OpenOne(info);
	uint16_t inner;
	if (!core || !ArgU16(info, 0, "inner", &inner))
		return;
	const struct nf_arena *found = ArenaOf(core->env, info[1]);
	if (!found)
		return Nan::ThrowTypeError("arena must be an open arena");
	struct nf_arena arena = *found;
	std::vector<uint32_t> grefs(arena.grefs, arena.grefs + arena.pages);
	bool equal = Nan::To<bool>(info[2]).FromMaybe(false);
	arena.fd = fcntl(arena.fd, F_DUPFD_CLOEXEC, 3);
	if (arena.fd < 0)
		return ThrowSystem(errno, "layer.donate");
	auto run = [core, inner, arena, grefs, equal]() mutable {
		arena.grefs = grefs.data();
		int rc = core->layer->ops->donate(core->layer, inner, &arena, equal);
		close(arena.fd);
		return rc;
	};
	Submit(info, core, std::make_unique<PlainJob>(core, "layer.donate", AtExit::kRun, run));
}

NAN_METHOD(Layer::DonateChan)
{
	LayerRef core = OpenOne(info);
	uint16_t inner, device, queue;
	uint8_t purpose;
	if (!core || !ArgU16(info, 0, "inner", &inner) || !ArgU16(info, 1, "device", &device) ||
	    !ArgU16(info, 2, "queue", &queue) || !ArgU8(info, 3, "purpose", &purpose))
		return;
	const struct nf_chan *found = ChannelOf(core->env, info[4]);
	if (!found)
		return Nan::ThrowTypeError("channel must be an open channel");
	struct nf_chan chan = *found;
	chan.fd = fcntl(chan.fd, F_DUPFD_CLOEXEC, 3);
	if (chan.fd < 0)
		return ThrowSystem(errno, "layer.donateChan");
	auto run = [=]() {
		int rc = core->layer->ops->donate_chan(core->layer, inner, device, queue, purpose,
						       &chan);
		close(chan.fd);
		return rc;
	};
	Submit(info, core, std::make_unique<PlainJob>(core, "layer.donateChan", AtExit::kRun, run));
}

template <void (*Verb)(Nan::NAN_METHOD_ARGS_TYPE, const LayerRef &)>
void Layer::Call(Nan::NAN_METHOD_ARGS_TYPE info)
{
	LayerRef core = OpenOne(info);
	if (core)
		Verb(info, core);
}

v8::Local<v8::Value> Number(int value)
{
	return Nan::New(value);
}

NAN_METHOD(Layer::StoreFd)
{
	LayerRef core = OpenOne(info);
	if (!core)
		return;
	auto run = [core]() { return core->layer->ops->store_fd(core->layer); };
	Submit(info, core,
	       std::make_unique<PlainJob>(core, "layer.storeFd", AtExit::kSkip, run, Number));
}

NAN_METHOD(Layer::Clone)
{
	LayerRef core = OpenOne(info);
	if (!core)
		return;
	auto run = [core]() {
		if (strcmp(core->layer->ops->kind, "embedded"))
			return -ENOSYS;
		return nf_layer_embedded_clone(core->layer);
	};
	Submit(info, core,
	       std::make_unique<PlainJob>(core, "layer.clone", AtExit::kSkip, run, Number));
}

NAN_METHOD(Layer::CloseLayer)
{
	Layer *l = Nan::ObjectWrap::Unwrap<Layer>(info.This());
	LayerRef core = l->core_;
	std::vector<std::function<int()>> rest;
	if (!core->closing) {
		for (Child *child : l->TakeChildren())
			rest.push_back(child->Detach());
		core->env->open.erase(l);
		l->Unref();
	}
	auto run = [core, rest]() {
		for (const std::function<int()> &close_child : rest)
			close_child();
		if (core->layer)
			core->layer->ops->close(core->layer);
		core->layer = nullptr;
		return 0;
	};
	Submit(info, core, std::make_unique<PlainJob>(core, "layer.close", AtExit::kRun, run));
}

v8::MaybeLocal<v8::Value> NewLayer(const LayerRef &core)
{
	v8::Local<v8::Object> object;
	if (!Construct(core->env, core->env->layer).ToLocal(&object))
		return {};
	const struct nf_layer *l = core->layer;
	Property(object, "domid", Nan::New(l->domid));
	Property(object, "caps", Nan::New(l->caps));
	Property(object, "kind", Nan::New(l->ops->kind).ToLocalChecked());
	Property(object, "countersFd", Nan::New(l->counters_fd));
	Property(object, "controlFd", Nan::New(l->control_fd));
	(new Layer(core))->Open(object);
	return object.As<v8::Value>();
}

class OpenJob final : public Job
{
      public:
	OpenJob(const EnvRef &env, int fd) : Job(env, "layer.open"), fd_(fd)
	{
	}
	OpenJob(const EnvRef &env, const std::string &xen_dir)
	    : Job(env, "layer.openXen"), xen_dir_(xen_dir)
	{
	}

      protected:
	int Run() override
	{
		if (!xen_dir_.empty())
			return nf_layer_open_xen(xen_dir_.c_str(), &layer_);
		return nf_layer_open_embedded(fd_, &layer_);
	}
	v8::MaybeLocal<v8::Value> Value() override
	{
		return NewLayer(std::make_shared<LayerCore>(env_, layer_));
	}
	void Abandon() override
	{
		layer_->ops->close(layer_);
	}

      private:
	int fd_ = -1;
	std::string xen_dir_; /* empty: embedded */
	struct nf_layer *layer_ = nullptr;
};

NAN_METHOD(OpenLayer)
{
	int fd;
	if (!ArgFd(info, 0, &fd))
		return;
	Job *job = new OpenJob(EnvOf(info), fd);
	info.GetReturnValue().Set(job->MakePromise());
	job->Start();
}

NAN_METHOD(OpenXenLayer)
{
	std::string dir;
	if (!ArgString(info, 0, "directory", &dir))
		return;
	if (dir.empty())
		return Nan::ThrowTypeError("directory must not be empty");
	Job *job = new OpenJob(EnvOf(info), dir);
	info.GetReturnValue().Set(job->MakePromise());
	job->Start();
}

} // namespace

void Property(v8::Local<v8::Object> object, const char *name, v8::Local<v8::Value> value)
{
	Nan::DefineOwnProperty(object, Nan::New(name).ToLocalChecked(), value, v8::ReadOnly);
}

void InitLayer(v8::Local<v8::Object> target, v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(
		[](const Nan::FunctionCallbackInfo<v8::Value> &info) { RefuseNew(info); }, data);
	tpl->SetClassName(Nan::New("NativeLayer").ToLocalChecked());
	tpl->InstanceTemplate()->SetInternalFieldCount(1);
	SetMethod(tpl, "alloc", Layer::Call<VerbAlloc>, data);
	SetMethod(tpl, "map", Layer::Call<VerbMap>, data);
	SetMethod(tpl, "copy", Layer::Call<VerbCopy>, data);
	SetMethod(tpl, "donate", Layer::Donate, data);
	SetMethod(tpl, "donateChan", Layer::DonateChan, data);
	SetMethod(tpl, "allocChan", Layer::Call<VerbAllocChan>, data);
	SetMethod(tpl, "bindChan", Layer::Call<VerbBindChan>, data);
	SetMethod(tpl, "storeFd", Layer::StoreFd, data);
	SetMethod(tpl, "clone", Layer::Clone, data);
	SetMethod(tpl, "close", Layer::CloseLayer, data);
	EnvOf(data)->layer.Reset(Nan::GetFunction(tpl).ToLocalChecked());
	Export(target, "openLayer", OpenLayer, data);
	Export(target, "openXenLayer", OpenXenLayer, data);
}

} // namespace nf
