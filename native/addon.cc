/* SPDX-License-Identifier: MIT */
/* Entry of the addon, once per environment (main thread and each worker). */
#include "addon.h"

#include <node.h>

namespace nf
{

/* Freed with the environment's External when V8 lets go of it; the Env itself by its last user. */
struct EnvBox {
	EnvRef env;
	node::AsyncCleanupHookHandle hook{nullptr};
};

EnvRef EnvOf(const v8::Local<v8::Value> &data)
{
	return static_cast<EnvBox *>(data.As<v8::External>()->Value())->env;
}

void Env::JobDone()
{
	jobs--;
	if (ending && jobs == 0)
		FinishEnd();
}

void Env::End(void (*done)(void *), void *done_arg)
{
	ending = true;
	done_ = done;
	done_arg_ = done_arg;
	if (jobs == 0)
		FinishEnd();
}

void Env::FinishEnd()
{
	while (!open.empty()) {
		Closable *next = *open.begin();
		open.erase(open.begin());
		next->CloseAtExit();
	}
	layer.Reset();
	arena.Reset();
	mapping.Reset();
	channel.Reset();
	ring.Reset();
	arena_template.Reset();
	channel_template.Reset();
	mark_untransferable.Reset();
	done_(done_arg_);
}

void Export(v8::Local<v8::Object> target, const char *name, Nan::FunctionCallback fn,
	    v8::Local<v8::Value> data)
{
	v8::Local<v8::FunctionTemplate> tpl = Nan::New<v8::FunctionTemplate>(fn, data);
	Nan::Set(target, Nan::New(name).ToLocalChecked(), Nan::GetFunction(tpl).ToLocalChecked());
}

void SetMethod(v8::Local<v8::FunctionTemplate> tpl, const char *name, Nan::FunctionCallback fn,
	       v8::Local<v8::Value> data)
{
	Nan::SetPrototypeMethod(tpl, name, fn, data);
}

void SetGetter(v8::Local<v8::FunctionTemplate> tpl, const char *name, Nan::GetterCallback fn,
	       v8::Local<v8::Value> data)
{
	Nan::SetAccessor(tpl->InstanceTemplate(), Nan::New(name).ToLocalChecked(), fn, nullptr,
			 data);
}

/* init(markAsUntransferable) */
static NAN_METHOD(InitEnv)
{
	v8::Local<v8::Function> mark;
	if (ArgFunction(info, 0, "markAsUntransferable", &mark))
		EnvOf(info)->mark_untransferable.Reset(mark);
}

static void OnCleanup(void *arg, void (*done)(void *), void *done_arg)
{
	EnvBox *box = static_cast<EnvBox *>(arg);
	/* the Env outlives its own End: done may free the hook that called us */
	EnvRef env = box->env;
	env->End(done, done_arg);
}

static void Init(v8::Local<v8::Object> target)
{
	EnvBox *box = new EnvBox;
	box->env = std::make_shared<Env>();
	box->env->isolate = v8::Isolate::GetCurrent();
	box->env->loop = Nan::GetCurrentEventLoop();
	box->hook = node::AddEnvironmentCleanupHook(box->env->isolate, OnCleanup, box);
	v8::Local<v8::Value> data = Nan::New<v8::External>(box);
	Export(target, "init", InitEnv, data);
	InitSeqSocket(target, data);
	InitSeqListener(target, data);
	InitFdWatch(target, data);
	InitSockets(target, data);
	InitMemory(target, data);
	InitLayer(target, data);
	InitArena(target, data);
	InitMapping(target, data);
	InitChannel(target, data);
	InitRing(target, data);
}

} // namespace nf

NAN_MODULE_INIT(InitAddon)
{
	nf::Init(target);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-function-type"
NAN_MODULE_WORKER_ENABLED(nestfront, InitAddon)
#pragma GCC diagnostic pop
