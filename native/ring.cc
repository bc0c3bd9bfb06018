/* SPDX-License-Identifier: MIT */
/* Ring: one end of nf/ring.h over an arena's or a mapping's pages, a slot at a time. */
#include "layer.h"

#include <cerrno>
#include <cstring>

namespace nf
{

uint8_t *Region::Span(size_t offset, size_t bytes) const
{
	if (bytes == 0 || offset > Bytes() || bytes > Bytes() - offset)
		return nullptr;
	size_t first = offset / NF_PAGE_BYTES;
	size_t last = (offset + bytes - 1) / NF_PAGE_BYTES;
	for (size_t i = first; i < last; i++) {
		if (pages[i] + NF_PAGE_BYTES != pages[i + 1])
			return nullptr;
	}
	return pages[first] + offset % NF_PAGE_BYTES;
}

class Ring final : public Nan::ObjectWrap
{
      public:
	Ring(const RegionRef &region, bool front) : region_(region), is_front_(front)
	{
	}
	int InitRing(void *page, size_t bytes, uint32_t slot_bytes, uint32_t first)
	{
		if (is_front_)
			return nf_ring_front_init(&front_, page, bytes, slot_bytes);
		return nf_ring_back_init(&back_, page, bytes, slot_bytes, first);
	}
	void Open(v8::Local<v8::Object> self);
	void Close()
	{
		region_->rings.erase(this);
		Drop();
	}
	void Drop() /* when the region forgets us itself */
	{
		region_.reset();
		Unref();
	}

	static NAN_METHOD(Free);
	static NAN_METHOD(Pending);
	static NAN_METHOD(Put);
	static NAN_METHOD(Take);
	static NAN_METHOD(Push);
	static NAN_METHOD(Arm);
	static NAN_METHOD(CloseRing);

      private:
	static Ring *OpenOne(Nan::NAN_METHOD_ARGS_TYPE info);
	uint32_t SlotBytes() const
	{
		return is_front_ ? front_.slot_bytes : back_.slot_bytes;
	}
	uint32_t Count() const
	{
		return is_front_ ? front_.count : back_.count;
	}
	uint32_t FreeSlots() const
	{
		return is_front_ ? nf_ring_front_free(&front_) : back_.req_cons - back_.rsp_prod;
	}
	int Waiting()
	{
		return is_front_ ? nf_ring_front_pending(&front_) : nf_ring_back_pending(&back_);
	}
	/* The next slot to write or to read; moves the private index. */
	void *PutSlot()
	{
		if (is_front_)
			return nf_ring_front_slot(&front_, front_.req_prod++);
		return nf_ring_back_slot(&back_, back_.rsp_prod++);
	}
	void *TakeSlot()
	{
		if (is_front_)
			return nf_ring_front_slot(&front_, front_.rsp_cons++);
		return nf_ring_back_slot(&back_, back_.req_cons++);
	}

	RegionRef region_; /* empty once closed */
	bool is_front_;
	struct nf_ring_front front_ = {};
	struct nf_ring_back back_ = {};
};

void Region::Close()
{
	open = false;
	pages.clear();
	std::unordered_set<Ring *> all = std::move(rings);
	rings.clear();
	for (Ring *ring : all)
		ring->Drop();
}

void Ring::Open(v8::Local<v8::Object> self)
{
	Wrap(self);
	Ref();
	region_->rings.insert(this);
	Property(self, "count", Nan::New(Count()));
	Property(self, "slotBytes", Nan::New(SlotBytes()));
}

Ring *Ring::OpenOne(Nan::NAN_METHOD_ARGS_TYPE info)
{
	Ring *r = Nan::ObjectWrap::Unwrap<Ring>(info.This());
	if (r->region_)
		return r;
	ThrowSystem(ENODEV, "ring");
	return nullptr;
}

NAN_METHOD(Ring::Free)
{
	Ring *r = OpenOne(info);
	if (r)
		info.GetReturnValue().Set(r->FreeSlots());
}

NAN_METHOD(Ring::Pending)
{
	Ring *r = OpenOne(info);
	if (!r)
		return;
	int n = r->Waiting();
	if (n < 0)
		return ThrowSystem(-n, "ring.pending");
	info.GetReturnValue().Set(n);
}

NAN_METHOD(Ring::Put)
{
	Ring *r = OpenOne(info);
	Bytes slot;
	if (!r || !ArgBytes(info, 0, "slot", &slot))
		return;
	if (slot.size > r->SlotBytes())
		return Nan::ThrowRangeError("longer than a slot");
	bool room = r->FreeSlots() > 0;
	if (room) {
		uint8_t *to = static_cast<uint8_t *>(r->PutSlot());
		if (slot.size > 0)
			memcpy(to, slot.data, slot.size);
		memset(to + slot.size, 0, r->SlotBytes() - slot.size);
	}
	info.GetReturnValue().Set(room);
}

NAN_METHOD(Ring::Take)
{
	Ring *r = OpenOne(info);
	if (!r)
		return;
	int n = r->Waiting();
	if (n < 0)
		return ThrowSystem(-n, "ring.take");
	if (n > 0)
		info.GetReturnValue().Set(
			Nan::CopyBuffer(static_cast<char *>(r->TakeSlot()), r->SlotBytes())
				.ToLocalChecked());
}

NAN_METHOD(Ring::Push)
{
	Ring *r = OpenOne(info);
	if (!r)
		return;
	bool notify = r->is_front_ ? nf_ring_front_push(&r->front_) : nf_ring_back_push(&r->back_);
	info.GetReturnValue().Set(notify);
}

NAN_METHOD(Ring::Arm)
{
	Ring *r = OpenOne(info);
	int64_t after;
	if (!r || !ArgInt(info, 0, "after", 1, r->Count(), &after))
		return;
	uint32_t n = static_cast<uint32_t>(after);
	int rc = r->is_front_ ? nf_ring_front_arm(&r->front_, n) : nf_ring_back_arm(&r->back_, n);
	if (rc < 0)
		return ThrowSystem(-rc, "ring.arm");
	info.GetReturnValue().Set(rc);
}

NAN_METHOD(Ring::CloseRing)
{
	Ring *r = Nan::ObjectWrap::Unwrap<Ring>(info.This());
	if (r->region_)
		r->Close();
}

/* read(offset, bytes) */
void RegionRead(Nan::NAN_METHOD_ARGS_TYPE info, const RegionRef &region)
{
	int64_t offset, bytes;
	if (!region->open)
		return ThrowSystem(ENODEV, "memory.read");
	int64_t size = static_cast<int64_t>(region->Bytes());
	if (!ArgInt(info, 0, "offset", 0, size, &offset) ||
	    !ArgInt(info, 1, "bytes", 0, size - offset, &bytes))
		return;
	v8::Local<v8::Object> out;
	if (!Nan::NewBuffer(static_cast<uint32_t>(bytes)).ToLocal(&out))
		return;
	char *to = node::Buffer::Data(out);
	for (size_t done = 0; done < static_cast<size_t>(bytes);) {
		size_t at = static_cast<size_t>(offset) + done;
		size_t n = NF_PAGE_BYTES - at % NF_PAGE_BYTES;
		n = std::min(n, static_cast<size_t>(bytes) - done);
		memcpy(to + done, region->pages[at / NF_PAGE_BYTES] + at % NF_PAGE_BYTES, n);
		done += n;
	}
	info.GetReturnValue().Set(out);
}

/* write(offset, data) */
void RegionWrite(Nan::NAN_METHOD_ARGS_TYPE info, const RegionRef &region)
{
	int64_t offset;
	Bytes data;
	if (!region->open || region->readonly)
		return ThrowSystem(region->open ? EACCES : ENODEV, "memory.write");
	if (!ArgInt(info, 0, "offset", 0, static_cast<int64_t>(region->Bytes()), &offset) ||
	    !ArgBytes(info, 1, "data", &data))
		return;
	if (data.size > region->Bytes() - static_cast<size_t>(offset))
		return Nan::ThrowRangeError("data reaches past the end");
	for (size_t done = 0; done < data.size;) {
		size_t at = static_cast<size_t>(offset) + done;
		size_t n = std::min(NF_PAGE_BYTES - at % NF_PAGE_BYTES, data.size - done);
		memcpy(region->pages[at / NF_PAGE_BYTES] + at % NF_PAGE_BYTES, data.data + done, n);
		done += n;
	}
}

/* ringFront(offset, bytes, slotBytes), ringBack(offset, bytes, slotBytes, first) */
void RegionRing(Nan::NAN_METHOD_ARGS_TYPE info, const EnvRef &env, const RegionRef &region,
		bool front)
{
	int64_t offset, bytes, slot_bytes, first = 0;
	if (!region->open || region->readonly)
		return ThrowSystem(region->open ? EACCES : ENODEV, "ring");
	int64_t size = static_cast<int64_t>(region->Bytes());
	if (!ArgInt(info, 0, "offset", 0, size, &offset) ||
	    !ArgInt(info, 1, "bytes", 1, size - offset, &bytes) ||
	    !ArgInt(info, 2, "slotBytes", 1, NF_PAGE_BYTES, &slot_bytes) ||
	    (!front && !ArgInt(info, 3, "first", 0, UINT32_MAX, &first)))
		return;
	if (offset % 64 != 0)
		return Nan::ThrowRangeError("offset must be a multiple of 64");
	uint8_t *page = region->Span(static_cast<size_t>(offset), static_cast<size_t>(bytes));
	if (!page)
		return Nan::ThrowRangeError("these pages do not lie side by side");
	std::unique_ptr<Ring> ring = std::make_unique<Ring>(region, front);
	int rc = ring->InitRing(page, static_cast<size_t>(bytes), static_cast<uint32_t>(slot_bytes),
				static_cast<uint32_t>(first));
	if (rc < 0)
		return ThrowSystem(-rc, "ring");
	v8::Local<v8::Object> object;
	if (!Construct(env, env->ring).ToLocal(&object))
		return;
	ring.release()->Open(object);
	info.GetReturnValue().Set(object);
}

void InitRing(v8::Local<v8::Object>, v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(
		[](const Nan::FunctionCallbackInfo<v8::Value> &info) { RefuseNew(info); }, data);
	tpl->SetClassName(Nan::New("NativeRing").ToLocalChecked());
	tpl->InstanceTemplate()->SetInternalFieldCount(1);
	SetMethod(tpl, "free", Ring::Free, data);
	SetMethod(tpl, "pending", Ring::Pending, data);
	SetMethod(tpl, "put", Ring::Put, data);
	SetMethod(tpl, "take", Ring::Take, data);
	SetMethod(tpl, "push", Ring::Push, data);
	SetMethod(tpl, "arm", Ring::Arm, data);
	SetMethod(tpl, "close", Ring::CloseRing, data);
	EnvOf(data)->ring.Reset(Nan::GetFunction(tpl).ToLocalChecked());
}

} // namespace nf
