/* SPDX-License-Identifier: MIT */
/* Mapping: a peer's granted pages, read and written by copy: a read-only page can't be a buffer. */
#include "layer.h"

namespace nf
{
namespace
{

/* The C struct and the arrays it borrows. */
struct MappingData {
	struct nf_mapping mapping;
	std::vector<uint32_t> grefs;
	std::vector<void *> addrs;
};

using MappingRef = std::shared_ptr<MappingData>;

class Mapping final : public Nan::ObjectWrap, public Child
{
      public:
	Mapping(const LayerRef &core, const MappingRef &data, bool readonly)
	    : core_(core), data_(data), region_(std::make_shared<Region>())
	{
		for (void *address : data->addrs)
			region_->pages.push_back(static_cast<uint8_t *>(address));
		region_->readonly = readonly;
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
	static NAN_METHOD(Unmap);

	void Open(v8::Local<v8::Object> self)
	{
		Wrap(self);
		Ref();
		core_->children.insert(this);
		Property(self, "pages", Nan::New(static_cast<double>(region_->pages.size())));
		Property(self, "bytes", Nan::New(static_cast<double>(region_->Bytes())));
	}

	std::function<int()> Detach() override
	{
		region_->Close();
		core_->children.erase(this);
		if (!core_->env->ending)
			Unref();
		return [core = core_, data = data_]() {
			if (!core->layer)
				return -ENODEV;
			return core->layer->ops->unmap(core->layer, &data->mapping);
		};
	}

      private:
	static Mapping *Self(Nan::NAN_METHOD_ARGS_TYPE info)
	{
		return Nan::ObjectWrap::Unwrap<Mapping>(info.This());
	}

	LayerRef core_;
	MappingRef data_;
	RegionRef region_;
};

NAN_METHOD(Mapping::Unmap)
{
	Mapping *m = Self(info);
	if (!m->region_->open)
		return ThrowSystem(ENODEV, "mapping");
	LayerRef core = m->core_;
	Submit(info, core,
	       std::make_unique<PlainJob>(core, "mapping.unmap", AtExit::kRun, m->Detach()));
}

class MapJob final : public LayerJob
{
      public:
	MapJob(const LayerRef &core, uint16_t peer, std::vector<uint32_t> grefs, bool readonly)
	    : LayerJob(core, "layer.map"), peer_(peer), readonly_(readonly),
	      data_(std::make_shared<MappingData>())
	{
		data_->grefs = std::move(grefs);
		data_->addrs.resize(data_->grefs.size());
	}

      protected:
	int Run() override
	{
		return core_->layer->ops->map(core_->layer, peer_, data_->grefs.data(),
					      static_cast<uint32_t>(data_->grefs.size()), readonly_,
					      data_->addrs.data(), &data_->mapping);
	}
	v8::MaybeLocal<v8::Value> Value() override
	{
		v8::Local<v8::Object> object;
		if (!Construct(env_, env_->mapping).ToLocal(&object))
			return {};
		(new Mapping(core_, data_, readonly_))->Open(object);
		return object.As<v8::Value>();
	}
	void Abandon() override
	{
		core_->layer->ops->unmap(core_->layer, &data_->mapping);
	}

      private:
	uint16_t peer_;
	bool readonly_;
	MappingRef data_;
};

} // namespace

/* map(peer, grefs, readonly) */
void VerbMap(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core)
{
	uint16_t peer;
	if (!ArgU16(info, 0, "peer", &peer))
		return;
	if (!info[1]->IsUint32Array())
		return Nan::ThrowTypeError("grefs must be a Uint32Array");
	Nan::TypedArrayContents<uint32_t> list(info[1]);
	std::vector<uint32_t> grefs(*list, *list + list.length());
	bool readonly = Nan::To<bool>(info[2]).FromMaybe(false);
	Submit(info, core, std::make_unique<MapJob>(core, peer, std::move(grefs), readonly));
}

void InitMapping(v8::Local<v8::Object>, v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(
		[](const Nan::FunctionCallbackInfo<v8::Value> &info) { RefuseNew(info); }, data);
	tpl->SetClassName(Nan::New("NativeMapping").ToLocalChecked());
	tpl->InstanceTemplate()->SetInternalFieldCount(1);
	SetMethod(tpl, "read", Mapping::Read, data);
	SetMethod(tpl, "write", Mapping::Write, data);
	SetMethod(tpl, "ringFront", Mapping::Front, data);
	SetMethod(tpl, "ringBack", Mapping::Back, data);
	SetMethod(tpl, "unmap", Mapping::Unmap, data);
	EnvOf(data)->mapping.Reset(Nan::GetFunction(tpl).ToLocalChecked());
}

} // namespace nf
