/* SPDX-License-Identifier: MIT */
/* Layer.copy: grant copies between JS memory and granted pages, through buffers of its own. */
#include "layer.h"

#include <cstring>

namespace nf
{
namespace
{

constexpr uint32_t kOpsMax = 4096;

class CopyJob final : public LayerJob
{
      public:
	CopyJob(const LayerRef &core, std::vector<struct nf_grant_copy> ops,
		std::vector<std::vector<uint8_t>> buffers)
	    : LayerJob(core, "layer.copy"), ops_(std::move(ops)), buffers_(std::move(buffers))
	{
		for (size_t i = 0; i < ops_.size(); i++)
			ops_[i].local = buffers_[i].data();
	}

      protected:
	int Run() override
	{
		return core_->layer->ops->copy(core_->layer, ops_.data(),
					       static_cast<uint32_t>(ops_.size()));
	}
	v8::MaybeLocal<v8::Value> Value() override;

      private:
	std::vector<struct nf_grant_copy> ops_;
	std::vector<std::vector<uint8_t>> buffers_;
};

v8::MaybeLocal<v8::Value> CopyJob::Value()
{
	v8::Local<v8::Array> list = Nan::New<v8::Array>(static_cast<int>(ops_.size()));
	for (uint32_t i = 0; i < ops_.size(); i++) {
		v8::Local<v8::Object> one = Nan::New<v8::Object>();
		Nan::Set(one, Nan::New("status").ToLocalChecked(), Nan::New(ops_[i].status));
		if (ops_[i].status == 0 && !ops_[i].to_peer) {
			v8::Local<v8::Object> data;
			if (!Nan::CopyBuffer(reinterpret_cast<char *>(buffers_[i].data()),
					     static_cast<uint32_t>(buffers_[i].size()))
				     .ToLocal(&data))
				return {};
			Nan::Set(one, Nan::New("data").ToLocalChecked(), data);
		}
		Nan::Set(list, i, one);
	}
	return list.As<v8::Value>();
}

/* False: an exception is pending. */
bool ToOp(v8::Local<v8::Value> value, struct nf_grant_copy *op, std::vector<uint8_t> *buffer)
{
	if (!value->IsObject()) {
		Nan::ThrowTypeError("each op must be an object");
		return false;
	}
	v8::Local<v8::Object> object = value.As<v8::Object>();
	int64_t peer, gref, offset, bytes;
	v8::Local<v8::Value> data;
	if (!FieldInt(object, "peer", UINT16_MAX, -1, &peer) ||
	    !FieldInt(object, "gref", UINT32_MAX, -1, &gref) ||
	    !FieldInt(object, "offset", NF_PAGE_BYTES, -1, &offset) ||
	    !FieldInt(object, "bytes", NF_PAGE_BYTES, 0, &bytes) ||
	    !Nan::Get(object, Nan::New("data").ToLocalChecked()).ToLocal(&data))
		return false;
	Bytes source;
	if (ToBytes(data, &source)) {
		if (source.size > NF_PAGE_BYTES) {
			Nan::ThrowRangeError("data must fit in a page");
			return false;
		}
		buffer->assign(source.data, source.data + source.size);
		op->to_peer = 1;
	} else {
		buffer->resize(static_cast<size_t>(bytes));
	}
	op->peer = static_cast<uint16_t>(peer);
	op->gref = static_cast<uint32_t>(gref);
	op->offset = static_cast<uint16_t>(offset);
	op->bytes = static_cast<uint16_t>(buffer->size());
	return true;
}

} // namespace

/* copy(ops) */
void VerbCopy(Nan::NAN_METHOD_ARGS_TYPE info, const LayerRef &core)
{
	if (!info[0]->IsArray())
		return Nan::ThrowTypeError("ops must be an array");
	v8::Local<v8::Array> list = info[0].As<v8::Array>();
	uint32_t count = list->Length();
	if (count > kOpsMax)
		return Nan::ThrowRangeError("at most 4096 ops a call");
	std::vector<struct nf_grant_copy> ops(count);
	std::vector<std::vector<uint8_t>> buffers(count);
	for (uint32_t i = 0; i < count; i++) {
		v8::Local<v8::Value> value;
		if (!Nan::Get(list, i).ToLocal(&value) || !ToOp(value, &ops[i], &buffers[i]))
			return;
	}
	Submit(info, core, std::make_unique<CopyJob>(core, std::move(ops), std::move(buffers)));
}

} // namespace nf
