/* SPDX-License-Identifier: MIT */
/* Arena: pages granted to a peer, as memory JS can read, write and lay rings over. */
#include "layer.h"

#include <cstring>

namespace nf
{
namespace
{

/* The C struct and the grant numbers it borrows. */
struct ArenaData {
	struct nf_arena arena;
	std::vector<uint32_t> grefs;
};

class Arena final : public Nan::ObjectWrap, public Child
{
      public:
	Arena(const LayerRef &core, const struct nf_arena &arena, std::vector<uint32_t> grefs)
	    : core_(core), data_(std::make_shared<ArenaData>()), region_(std::make_shared<Region>())
	{
		data_->arena = arena;
		data_->grefs = std::move(grefs);
		data_->arena.grefs = data_->grefs.data();
		for (uint32_t i = 0; arena.base && i < arena.pages; i++)
			region_->pages.push_back(arena.base + size_t{i} * NF_PAGE_BYTES);
	}

	static NAN_METHOD(Read)
	{
		RegionRead(info, Self(info)->region_);
	}
	static NAN_METHOD(Write)
	{
		RegionWrite(info, Self(info)->region_);
	}
	static NAN_METHOD(Front)
	{
		RegionRing(info, EnvOf(info), Self(info)->region_, true);
	}
	static NAN_METHOD(Back)
	{
		RegionRing(info, EnvOf(info), Self(info)->region_, false);
	}
	static NAN_METHOD(End);

	bool Open(v8::Local<v8::Object> self);
	std::function<int()> Detach() override;
	const struct nf_arena *Get() const
	{
		return region_->open ? &data_->arena : nullptr;
	}

      private:
	static Arena *Self(Nan::NAN_METHOD_ARGS_TYPE info)
	{
		return Nan::ObjectWrap::Unwrap<Arena>(info.This());
	}
	bool MakeBuffer(v8::Local<v8::Object> self);

	LayerRef core_;
	std::shared_ptr<ArenaData> data_;
	RegionRef region_;
	Nan::Global<v8::ArrayBuffer> buffer_;
	Nan::Global<v8::Symbol> key_; /* who doesn't hold it can't detach: no transfer to workers */
};

/* False: an exception is pending and there is no buffer. */
bool Arena::MakeBuffer(v8::Local<v8::Object> self)
{
	v8::Isolate *isolate = core_->env->isolate;
	v8::Local<v8::Value> value = Nan::Undefined();
	if (data_->arena.base) {
		std::unique_ptr<v8::BackingStore> store = v8::ArrayBuffer::NewBackingStore(
			data_->arena.base, region_->Bytes(), [](void *, size_t, void *) {},
			nullptr);
		v8::Local<v8::ArrayBuffer> buffer = v8::ArrayBuffer::New(isolate, std::move(store));
		v8::Local<v8::Symbol> key = v8::Symbol::New(isolate);
		v8::Local<v8::Value> argv[] = {buffer};
		if (core_->env->mark_untransferable.IsEmpty() ||
		    Nan::Call(Nan::New(core_->env->mark_untransferable),
			      Nan::GetCurrentContext()->Global(), 1, argv)
			    .IsEmpty())
			return false;
		buffer->SetDetachKey(key);
		buffer_.Reset(buffer);
		key_.Reset(key);
		value = buffer;
	}
	Property(self, "buffer", value);
	return true;
}

bool Arena::Open(v8::Local<v8::Object> self)
{
	Wrap(self);
	Ref();
	core_->children.insert(this);
	size_t bytes = data_->grefs.size() * sizeof(uint32_t);
	v8::Local<v8::ArrayBuffer> grefs = v8::ArrayBuffer::New(core_->env->isolate, bytes);
	memcpy(grefs->GetBackingStore()->Data(), data_->grefs.data(), bytes);
	Property(self, "grefs", v8::Uint32Array::New(grefs, 0, data_->grefs.size()));
	Property(self, "fd", Nan::New(data_->arena.fd));
	Property(self, "bytes", Nan::New(static_cast<double>(region_->Bytes())));
	return MakeBuffer(self);
}

std::function<int()> Arena::Detach()
{
	region_->Close();
	if (!buffer_.IsEmpty() && !core_->env->ending) {
		v8::Local<v8::ArrayBuffer> buffer = Nan::New(buffer_);
		buffer->Detach(Nan::New(key_).As<v8::Value>()).FromMaybe(false);
	}
	buffer_.Reset();
	key_.Reset();
	core_->children.erase(this);
	if (!core_->env->ending)
		Unref();
	return [core = core_, data = data_]() {
		return core->layer ? core->layer->ops->end(core->layer, &data->arena) : -ENODEV;
	};
}

NAN_METHOD(Arena::End)
{
	Arena *a = Self(info);
	if (!a->region_->open)
		return ThrowSystem(ENODEV, "arena");
	LayerRef core = a->core_;
	auto end = a->Detach();
	auto run = [end]() {
		int rc = end();
		return rc == -EBUSY ? 1 : rc;
	};
	auto value = [](int rc) { return Nan::New(rc == 0).As<v8::Value>(); };
	Submit(info, core, std::make_unique<PlainJob>(core, "arena.end", AtExit::kRun, run, value));
}

class AllocJob final : public LayerJob
{
      public:
	AllocJob(const LayerRef &core, const struct nf_arena_key &key, uint32_t pages,
		 uint32_t flags)
	    : LayerJob(core, "layer.alloc"), key_(key), flags_(flags), grefs_(pages)
	{
	}

      protected:
	int Run() override
	{
		return core_->layer->ops->alloc(core_->layer, &key_,
						static_cast<uint32_t>(grefs_.size()), flags_,
						grefs_.data(), &arena_);
	}
	v8::MaybeLocal<v8::Value> Value() override
	{
		v8::Local<v8::Object> object;
		if (!Construct(env_, env_->arena).ToLocal(&object))
			return {};
		/* not open for want of a buffer: the layer's close ends it */
		if (!(new Arena(core_, arena_, std::move(grefs_)))->Open(object))
			return {};
		return object.As<v8::Value>();
	}
	void Abandon() override
	{
		core_->layer->ops->end(core_->layer, &arena_);
	}

      private:
	struct nf_arena_key key_;
	uint32_t flags_;
	std::vector<uint32_t> grefs_;
	struct nf_arena arena_ = {};
};

bool ToKey(v8::Local<v8::Object> object, struct nf_arena_key *key)
{
	int64_t peer, inner, device, queue, purpose;
	v8::Local<v8::Value> readonly;
	if (!FieldInt(object, "peer", UINT16_MAX, -1, &peer) ||
	    !FieldInt(object, "innerOwner", UINT16_MAX, NF_DOMID_SELF, &inner) ||
	    !FieldInt(object, "device", UINT16_MAX, -1, &device) ||
	    !FieldInt(object, "queue", UINT16_MAX, -1, &queue) ||
	    !FieldInt(object, "purpose", UINT8_MAX, -1, &purpose) ||
	    !Nan::Get(object, Nan::New("readonly").ToLocalChecked()).ToLocal(&readonly))
		return false;
	key->peer = static_cast<uint16_t>(peer);
	key->inner_owner = static_cast<uint16_t>(inner);
	key->device = static_cast<uint16_t>(device);
	key->queue = static_cast<uint16_t>(queue);
	key->purpose = static_cast<uint8_t>(purpose);
	key->readonly = Nan::To<bool>(readonly).FromMaybe(false);
	return true;
}

} // namespace

/* alloc(key, pages, noMap) */
void VerbAlloc(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core)
{
	struct nf_arena_key key = {};
	int64_t pages;
	if (!info[0]->IsObject())
		return Nan::ThrowTypeError("key must be an object");
	if (!ToKey(info[0].As<v8::Object>(), &key) ||
	    !ArgInt(info, 1, "pages", 1, NF_ARENA_PAGES_MAX, &pages))
		return;
	uint32_t flags = Nan::To<bool>(info[2]).FromMaybe(false) ? NF_ALLOC_NOMAP : 0;
	Submit(info, core,
	       std::make_unique<AllocJob>(core, key, static_cast<uint32_t>(pages), flags));
}

const struct nf_arena *ArenaOf(const EnvRef &env, v8::Local<v8::Value> value)
{
	if (!value->IsObject() || !Nan::New(env->arena_template)->HasInstance(value))
		return nullptr;
	v8::Local<v8::Object> object = value.As<v8::Object>();
	return Nan::ObjectWrap::Unwrap<Arena>(object)->Get();
}

void InitArena(v8::Local<v8::Object>, v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(
		[](const Nan::FunctionCallbackInfo<v8::Value> &info) { RefuseNew(info); }, data);
	tpl->SetClassName(Nan::New("NativeArena").ToLocalChecked());
	tpl->InstanceTemplate()->SetInternalFieldCount(1);
	SetMethod(tpl, "read", Arena::Read, data);
	SetMethod(tpl, "write", Arena::Write, data);
	SetMethod(tpl, "ringFront", Arena::Front, data);
	SetMethod(tpl, "ringBack", Arena::Back, data);
	SetMethod(tpl, "end", Arena::End, data);
	EnvOf(data)->arena_template.Reset(tpl);
	EnvOf(data)->arena.Reset(Nan::GetFunction(tpl).ToLocalChecked());
}

} // namespace nf
