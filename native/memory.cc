/* SPDX-License-Identifier: MIT */
/* memfds, seals, live shared memory in JS, futex. */
#include "addon.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace nf
{
namespace
{

constexpr int64_t kPageBytes = 4096;
constexpr int64_t kPagesMax = 1 << 20;
constexpr int64_t kOffsetMax = kPagesMax * kPageBytes;

int CreateMemfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

NAN_METHOD(MemfdCreate)
{
	std::string name;
	int64_t pages;
	if (!ArgString(info, 0, "name", &name) || !ArgInt(info, 1, "pages", 1, kPagesMax, &pages))
		return;
	int fd = CreateMemfd(name.c_str());
	if (fd < 0)
		return ThrowSystem(errno, "memfd_create");
	/* other users can't reopen it through /proc; fallocate: no page is missing later */
	if (fchmod(fd, 0600) < 0 || ftruncate(fd, pages * kPageBytes) < 0 ||
	    fallocate(fd, 0, 0, pages * kPageBytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		int err = errno;
		close(fd);
		return ThrowSystem(err, "memfd_create");
	}
	info.GetReturnValue().Set(fd);
}

NAN_METHOD(MemfdSeal)
{
	int fd;
	int64_t seals;
	if (!ArgFd(info, 0, &fd) || !ArgInt(info, 1, "seals", 0, 0x3f, &seals))
		return;
	if (fcntl(fd, F_ADD_SEALS, static_cast<int>(seals)) < 0)
		return ThrowSystem(errno, "memfd_seal");
}

NAN_METHOD(MemfdSeals)
{
	int fd;
	if (!ArgFd(info, 0, &fd))
		return;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return ThrowSystem(errno, "memfd_seals");
	info.GetReturnValue().Set(seals);
}

NAN_METHOD(MemfdPunch)
{
	int fd;
	int64_t offset, bytes;
	if (!ArgFd(info, 0, &fd) || !ArgInt(info, 1, "offset", 0, kOffsetMax, &offset) ||
	    !ArgInt(info, 2, "bytes", 1, kOffsetMax, &bytes))
		return;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) < 0)
		return ThrowSystem(errno, "memfd_punch");
}

NAN_METHOD(FileBytes)
{
	int fd;
	struct stat st;
	if (!ArgFd(info, 0, &fd))
		return;
	if (fstat(fd, &st) < 0)
		return ThrowSystem(errno, "fstat");
	info.GetReturnValue().Set(static_cast<double>(st.st_size));
}

NAN_METHOD(FileResident)
{
	int fd;
	struct stat st;
	if (!ArgFd(info, 0, &fd))
		return;
	if (fstat(fd, &st) < 0)
		return ThrowSystem(errno, "fstat");
	info.GetReturnValue().Set(static_cast<double>(st.st_blocks) * 512.0);
}

NAN_METHOD(ReopenReadonly)
{
	int fd;
	char path[32];
	if (!ArgFd(info, 0, &fd))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int copy = open(path, O_RDONLY | O_CLOEXEC);
	if (copy < 0)
		return ThrowSystem(errno, "reopen");
	info.GetReturnValue().Set(copy);
}

/* 0 or errno: the range lies in a file that nobody can shrink under the mapping (SIGBUS). */
int CheckRange(int fd, int64_t offset, int64_t bytes)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return errno;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return EINVAL;
	return offset + bytes <= st.st_size ? 0 : ERANGE;
}

NAN_METHOD(MapShared)
{
	int fd;
	int64_t offset, bytes;
	if (!ArgFd(info, 0, &fd) || !ArgInt(info, 1, "offset", 0, kOffsetMax, &offset) ||
	    !ArgInt(info, 2, "bytes", 1, kOffsetMax, &bytes))
		return;
	if (offset % kPageBytes != 0)
		return Nan::ThrowRangeError("offset must be a multiple of 4096");
	bool writable = Nan::To<bool>(info[3]).FromMaybe(false);
	int err = CheckRange(fd, offset, bytes);
	if (err != 0)
		return ThrowSystem(err, "map_shared");
	/* private copies of pages that JS writes to by mistake, where PROT_READ would kill us */
	int flags = writable ? MAP_SHARED : MAP_PRIVATE;
	size_t length = static_cast<size_t>(bytes);
	void *base = mmap(nullptr, length, PROT_READ | PROT_WRITE, flags, fd, offset);
	if (base == MAP_FAILED)
		return ThrowSystem(errno, "map_shared");
	std::unique_ptr<v8::BackingStore> store = v8::SharedArrayBuffer::NewBackingStore(
		base, length, [](void *data, size_t n, void *) { munmap(data, n); }, nullptr);
	info.GetReturnValue().Set(
		v8::SharedArrayBuffer::New(v8::Isolate::GetCurrent(), std::move(store)));
}

NAN_METHOD(FutexWake)
{
	int64_t index;
	if (!info[0]->IsSharedArrayBuffer())
		return Nan::ThrowTypeError("memory must be a SharedArrayBuffer");
	std::shared_ptr<v8::BackingStore> store =
		info[0].As<v8::SharedArrayBuffer>()->GetBackingStore();
	int64_t words = static_cast<int64_t>(store->ByteLength() / sizeof(uint32_t));
	if (!ArgInt(info, 1, "index", 0, words - 1, &index))
		return;
	uint32_t *word = static_cast<uint32_t *>(store->Data()) + index;
	long woken = syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
	if (woken < 0)
		return ThrowSystem(errno, "futex");
	info.GetReturnValue().Set(static_cast<double>(woken));
}

void Constant(v8::Local<v8::Object> target, const char *name, int value)
{
	Nan::Set(target, Nan::New(name).ToLocalChecked(), Nan::New(value));
}

} // namespace

void InitMemory(v8::Local<v8::Object> target, v8::Local<v8::Value> data)
{
	Export(target, "memfdCreate", MemfdCreate, data);
	Export(target, "memfdSeal", MemfdSeal, data);
	Export(target, "memfdSeals", MemfdSeals, data);
	Export(target, "memfdPunch", MemfdPunch, data);
	Export(target, "fileBytes", FileBytes, data);
	Export(target, "fileResident", FileResident, data);
	Export(target, "reopenReadonly", ReopenReadonly, data);
	Export(target, "mapShared", MapShared, data);
	Export(target, "futexWake", FutexWake, data);
	Constant(target, "F_SEAL_SEAL", F_SEAL_SEAL);
	Constant(target, "F_SEAL_SHRINK", F_SEAL_SHRINK);
	Constant(target, "F_SEAL_GROW", F_SEAL_GROW);
	Constant(target, "F_SEAL_WRITE", F_SEAL_WRITE);
	Constant(target, "F_SEAL_FUTURE_WRITE", F_SEAL_FUTURE_WRITE);
}

} // namespace nf
