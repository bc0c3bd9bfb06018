/* SPDX-License-Identifier: MIT */
/* Channel: one end of an event channel. notify and clear never block and run here. */
#include "layer.h"

#include <cerrno>

namespace nf
{
namespace
{

class Channel final : public Nan::ObjectWrap, public Child
{
      public:
	Channel(const LayerRef &core, const struct nf_chan &chan)
	    : core_(core), chan_(std::make_shared<struct nf_chan>(chan))
	{
	}

	static NAN_METHOD(Notify);
	static NAN_METHOD(Clear);
	static NAN_METHOD(Watch);
	static NAN_METHOD(RefLoop);
	static NAN_METHOD(UnrefLoop);
	static NAN_METHOD(CloseChannel);

	void Open(v8::Local<v8::Object> self)
	{
		Wrap(self);
		Ref();
		core_->children.insert(this);
		Property(self, "port", Nan::New(chan_->port));
		Property(self, "fd", Nan::New(chan_->fd));
	}

	std::function<int()> Detach() override
	{
		open_ = false;
		StopWatch();
		core_->children.erase(this);
		if (!core_->env->ending)
			Unref();
		return [core = core_, chan = chan_]() {
			if (!core->layer)
				return -ENODEV;
			core->layer->ops->chan_close(chan.get());
			return 0;
		};
	}

	const struct nf_chan *Get() const
	{
		return open_ ? chan_.get() : nullptr;
	}

      private:
	static Channel *Self(Nan::NAN_METHOD_ARGS_TYPE info)
	{
		return Nan::ObjectWrap::Unwrap<Channel>(info.This());
	}
	static Channel *OpenOne(Nan::NAN_METHOD_ARGS_TYPE info);
	void StopWatch();
	void OnReady();

	LayerRef core_;
	std::shared_ptr<struct nf_chan> chan_;
	bool open_ = true;
	bool referenced_ = true;
	Poll *poll_ = nullptr;
	Nan::Global<v8::Function> on_event_, on_hangup_;
};

Channel *Channel::OpenOne(Nan::NAN_METHOD_ARGS_TYPE info)
{
	Channel *c = Self(info);
	if (c->open_)
		return c;
	ThrowSystem(ENODEV, "channel");
	return nullptr;
}

void Channel::StopWatch()
{
	if (poll_)
		poll_->Close();
	poll_ = nullptr;
	on_event_.Reset();
	on_hangup_.Reset();
}

void Channel::OnReady()
{
	Nan::HandleScope handles;
	v8::Local<v8::Object> self = handle(); /* keeps us alive through the callbacks */
	int merged = core_->layer->ops->chan_clear(chan_.get());
	if (merged > 0) {
		v8::Local<v8::Value> argv[] = {Nan::New(merged)};
		Emit(core_->env, self, Nan::New(on_event_), 1, argv);
	}
	if (merged >= 0)
		return;
	v8::Local<v8::Function> hangup;
	if (!on_hangup_.IsEmpty())
		hangup = Nan::New(on_hangup_);
	StopWatch();
	if (!hangup.IsEmpty())
		Emit(core_->env, self, hangup, 0, nullptr);
}

NAN_METHOD(Channel::Notify)
{
	Channel *c = OpenOne(info);
	if (!c)
		return;
	int rc = c->core_->layer->ops->chan_notify(c->chan_.get());
	if (rc < 0)
		ThrowSystem(-rc, "channel.notify");
}

NAN_METHOD(Channel::Clear)
{
	Channel *c = OpenOne(info);
	if (!c)
		return;
	int rc = c->core_->layer->ops->chan_clear(c->chan_.get());
	if (rc < 0)
		return ThrowSystem(-rc, "channel.clear");
	info.GetReturnValue().Set(rc);
}

/* watch(onEvent | undefined, onHangup) */
NAN_METHOD(Channel::Watch)
{
	Channel *c = OpenOne(info);
	v8::Local<v8::Function> on_event;
	if (!c)
		return;
	if (info[0]->IsUndefined())
		return c->StopWatch();
	if (!ArgFunction(info, 0, "onEvent", &on_event))
		return;
	c->StopWatch();
	c->poll_ = Poll::New(
		c->core_->env->loop, c->chan_->fd,
		[](void *owner, int, int) { static_cast<Channel *>(owner)->OnReady(); }, c);
	if (!c->poll_)
		return ThrowSystem(errno, "channel.watch");
	c->on_event_.Reset(on_event);
	if (info[1]->IsFunction())
		c->on_hangup_.Reset(info[1].As<v8::Function>());
	c->poll_->SetRef(c->referenced_);
	c->poll_->Watch(UV_READABLE | UV_DISCONNECT);
}

NAN_METHOD(Channel::RefLoop)
{
	Channel *c = Self(info);
	c->referenced_ = true;
	if (c->poll_)
		c->poll_->SetRef(true);
}

NAN_METHOD(Channel::UnrefLoop)
{
	Channel *c = Self(info);
	c->referenced_ = false;
	if (c->poll_)
		c->poll_->SetRef(false);
}

NAN_METHOD(Channel::CloseChannel)
{
	Channel *c = Self(info);
	LayerRef core = c->core_;
	std::function<int()> rest = [] { return 0; };
	if (c->open_)
		rest = c->Detach();
	Submit(info, core, std::make_unique<PlainJob>(core, "channel.close", AtExit::kRun, rest));
}

class ChanJob final : public LayerJob
{
      public:
	using Make = std::function<int(struct nf_layer *, struct nf_chan *)>;
	ChanJob(const LayerRef &core, const char *op, Make make)
	    : LayerJob(core, op), make_(std::move(make))
	{
	}

      protected:
	int Run() override
	{
		return make_(core_->layer, &chan_);
	}
	v8::MaybeLocal<v8::Value> Value() override
	{
		v8::Local<v8::Object> object;
		if (!Construct(env_, env_->channel).ToLocal(&object))
			return {};
		(new Channel(core_, chan_))->Open(object);
		return object.As<v8::Value>();
	}
	void Abandon() override
	{
		core_->layer->ops->chan_close(&chan_);
	}

      private:
	Make make_;
	struct nf_chan chan_ = {};
};

} // namespace

/* allocChan(peer, device, queue, purpose) */
void VerbAllocChan(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core)
{
	uint16_t peer, device, queue;
	uint8_t purpose;
	if (!ArgU16(info, 0, "peer", &peer) || !ArgU16(info, 1, "device", &device) ||
	    !ArgU16(info, 2, "queue", &queue) || !ArgU8(info, 3, "purpose", &purpose))
		return;
	auto make = [=](struct nf_layer *l, struct nf_chan *chan) {
		return l->ops->alloc_chan(l, peer, device, queue, purpose, chan);
	};
	Submit(info, core, std::make_unique<ChanJob>(core, "layer.allocChan", make));
}

/* bindChan(peer, port) */
void VerbBindChan(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core)
{
	uint16_t peer;
	int64_t port;
	if (!ArgU16(info, 0, "peer", &peer) || !ArgInt(info, 1, "port", 0, UINT32_MAX, &port))
		return;
	auto make = [=](struct nf_layer *l, struct nf_chan *chan) {
		return l->ops->bind_chan(l, peer, static_cast<uint32_t>(port), chan);
	};
	Submit(info, core, std::make_unique<ChanJob>(core, "layer.bindChan", make));
}

const struct nf_chan *ChannelOf(const EnvRef &env, v8::Local<v8::Value> value)
{
	if (!value->IsObject() || !Nan::New(env->channel_template)->HasInstance(value))
		return nullptr;
	return Nan::ObjectWrap::Unwrap<Channel>(value.As<v8::Object>())->Get();
}

void InitChannel(v8::Local<v8::Object>, v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(
		[](const Nan::FunctionCallbackInfo<v8::Value> &info) { RefuseNew(info); }, data);
	tpl->SetClassName(Nan::New("NativeChannel").ToLocalChecked());
	tpl->InstanceTemplate()->SetInternalFieldCount(1);
	SetMethod(tpl, "notify", Channel::Notify, data);
	SetMethod(tpl, "clear", Channel::Clear, data);
	SetMethod(tpl, "watch", Channel::Watch, data);
	SetMethod(tpl, "ref", Channel::RefLoop, data);
	SetMethod(tpl, "unref", Channel::UnrefLoop, data);
	SetMethod(tpl, "close", Channel::CloseChannel, data);
	EnvOf(data)->channel_template.Reset(tpl);
	EnvOf(data)->channel.Reset(Nan::GetFunction(tpl).ToLocalChecked());
}

} // namespace nf
