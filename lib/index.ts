// SPDX-License-Identifier: MIT
// The public API. What is not exported here is not public.
export { NestfrontError, errors } from './errors.js';
export type { ErrorCode } from './errors.js';

export { Hypervisor } from './api/hypervisor.js';
export type { HypervisorOptions } from './api/hypervisor.js';
export type { DomainInfo, HypervisorStats } from './hypervisor/adminmsg.js';
export type { GrantInfo, PortInfo } from './hypervisor/inspect.js';
export { Domain } from './api/domain.js';
export { attach, XenDomain, XenDrivers } from './api/xen.js';
export type { AttachOptions, DriverOptions } from './api/xen.js';
export { Grant, GrantTable, Mapping, PAGE_BYTES, SharedPages } from './api/grant.js';
export type { GrantCopy, GrantOptions } from './api/grant.js';
export { EventChannel } from './api/channel.js';
export { StoreClient as Store } from './store/client.js';
export type { StoreCallOptions, StorePermission, TransactionOptions } from './store/client.js';
export { Ring } from './api/ring.js';
export type { RingOptions } from './api/ring.js';

export { NetLink, Netback, Netfront } from './api/net.js';
export type { NetOptions } from './api/netnodes.js';
export { BlkLink, BlkRelay, Blkback, Blkfront } from './api/blk.js';
export type { BlkRelayOptions } from './api/blk.js';
export type { BlkOptions } from './api/blknodes.js';
export { Disk } from './api/disk.js';
export type { DiskOptions } from './api/disk.js';
export { Relay } from './api/relay.js';
export type { RelayMode, RelayOptions } from './api/relay.js';
export type { WaitOptions } from './api/until.js';

export { Counters, counterInfo } from './api/counters.js';
export type { BlockFilter, BlockHeader, CounterName, CounterValues } from './api/counters.js';
export type { BlockGrants, BlockKind, BlockMode, XenbusState } from './api/layout.js';
export { Latency } from './api/latency.js';
export { ControlPage } from './api/control.js';
export type { GeneratorMode, GeneratorOrders } from './api/control.js';

export { Stack } from './stack/stack.js';
export type { StackMetadata, StackOptions } from './stack/options.js';
export { RemoteStack } from './stack/remote.js';
export type { DeviceInfo, StackStatus } from './stack/operations.js';
export type { DeviceChange } from './stack/roster.js';
export type { StackDevice } from './stack/devices.js';
export type { StackDisk } from './stack/disks.js';
export type { StackDomain, ExecOptions, ExecResult } from './stack/domain.js';
export { checkConfig, configSchema, readConfig } from './stack/config.js';
export type { CheckedStackConfig, DeviceConfig, DevicePath, StackConfig } from './stack/schema.js';
export { planStack } from './stack/plan.js';
export type { StackPlan } from './stack/plan.js';
