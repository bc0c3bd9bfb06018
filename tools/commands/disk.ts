// SPDX-License-Identifier: MIT
// nestfront disk list|serve|attach|detach|set.
import { join } from 'node:path';
import { once } from 'node:events';
import type { Command } from 'commander';
import { BlkLink } from '../../lib/api/blk.js';
import { Hypervisor } from '../../lib/api/hypervisor.js';
import type { Domain } from '../../lib/api/domain.js';
import { NestfrontError } from '../../lib/errors.js';
import { findStack } from '../../lib/stack/registry.js';
import type { StackEntry } from '../../lib/stack/registry.js';
import type { CheckedDisk } from '../../lib/stack/schema.js';
import { Stack } from '../../lib/stack/stack.js';
import type { StoreClient } from '../../lib/store/client.js';
import { list } from '../disklist.js';
import type { CommandContext, CommandModule } from '../command.js';

const ATTACHED_FROM = 1000; // devids of disks attached by hand

/** A stack of one disk, as long as the command runs. */
async function serve(
  disk: string,
  socket: string,
  o: { path: CheckedDisk['path']; readonly?: boolean; json?: boolean },
  context: CommandContext,
): Promise<void> {
  await using stack = await Stack.up(
    {
      name: `disk-${process.pid}`,
      disks: [
        {
          name: 'd0',
          path: o.path,
          disk,
          user: `nbd:${socket}`,
          readonly: o.readonly === true,
        },
      ],
    },
    { signal: context.signal, notice: (line) => context.note(`nestfront: ${line}`) },
  );
  const { bytes } = await openOnce(stack);
  const uri = `nbd+unix:///?socket=${socket}`;
  if (o.json === true) context.print(JSON.stringify({ uri, socket, bytes, path: o.path }));
  else context.print(`${uri}  ${(bytes / (1 << 20)).toFixed(0)} MiB, ${o.path}; Ctrl-C ends it`);
  if (!context.signal.aborted) await once(context.signal, 'abort');
}

async function openOnce(stack: Stack): Promise<{ bytes: number }> {
  await using disk = await stack.disk('d0').open();
  return { bytes: disk.bytes };
}

/** The outer store of a running stack, with the domains that a disk may be between. */
async function withOuter<T>(
  name: string,
  use: (o: {
    entry: StackEntry;
    store: StoreClient;
    domain: (name: string) => Pick<Domain, 'domid' | 'name'>;
  }) => Promise<T>,
): Promise<T> {
  const entry = findStack(name);
  await using hypervisor = await Hypervisor.connect(join(entry.directory, 'H0', 'admin.sock'));
  const domains = (entry.state?.domains ?? []).filter((d) => d.layer === 'H0');
  const domain = (wanted: string): Pick<Domain, 'domid' | 'name'> => {
    const found = domains.find((d) => d.name === wanted);
    if (found !== undefined) return found;
    const names = domains.map((d) => d.name).join(', ');
    throw new NestfrontError('NF_ENOENT', 'disk', `no domain "${wanted}"; there are ${names}`);
  };
  return await use({ entry, store: await hypervisor.store(), domain }); // before it closes
}

async function attach(
  o: { stack: string; guest: string; disk: string; user: string; devid: number },
  context: CommandContext,
): Promise<void> {
  await withOuter(o.stack, async ({ entry, store, domain }) => {
    if (entry.state?.isolated === true && /^(file|block):/.test(o.disk))
      throw new NestfrontError(
        'NF_EACCES',
        'disk.attach',
        `L0 of "${o.stack}" is isolated and does not see ${o.disk}: files come with the stack's ` +
          'configuration; mem:SIZE can be attached, or any disk to a stack with isolation off',
      );
    const [front, back] = [domain(o.guest) as Domain, domain('L0') as Domain];
    const link = await BlkLink.attach({
      store,
      devid: o.devid,
      front: { domain: front, port: o.user },
      back: { domain: back, port: o.disk },
    });
    await link.connected({ signal: context.signal });
    context.print(`${o.guest}/${o.devid} is connected`);
  });
}

async function detach(
  o: { stack: string; guest: string; devid: number },
  context: CommandContext,
): Promise<void> {
  await withOuter(o.stack, async ({ store, domain }) => {
    const [front, back] = [domain(o.guest) as Domain, domain('L0') as Domain];
    const link = BlkLink.of({
      store,
      devid: o.devid,
      front: { domain: front },
      back: { domain: back },
    });
    if ((await link.back.state()) === 'Closed')
      throw new NestfrontError('NF_ENOENT', 'disk.detach', `no disk ${o.guest}/${o.devid}`);
    await link.detach({ signal: context.signal });
    context.print(`${o.guest}/${o.devid} is detached`);
  });
}

/** Makes the backend look at its disk's size at once, in place of within two seconds. */
async function resize(
  o: { stack: string; guest: string; devid: number },
  context: CommandContext,
): Promise<void> {
  await withOuter(o.stack, async ({ store, domain }) => {
    const path = `/local/domain/${domain('L0').domid}/backend/vbd/${domain(o.guest).domid}`;
    const node = `${path}/${o.devid}`;
    if ((await store.readIfThere(`${node}/state`)) === undefined)
      throw new NestfrontError('NF_ENOENT', 'disk.set', `no disk ${o.guest}/${o.devid}`);
    await store.write(`${node}/nestfront/resize`, String(Date.now()));
    context.print(`${o.guest}/${o.devid}: L0 looks at its size`);
  });
}

const devid = (text: string): number => {
  const value = Number(text);
  if (!/^[0-9]{1,5}$/.test(text) || value > 0xffff)
    throw new RangeError(`--devid "${text}" is not a number from 0 to 65535`);
  return value;
};

export const command: CommandModule = {
  define(command: Command, context: CommandContext): void {
    command
      .command('list')
      .description('disks of running stacks, both ends, sizes and NBD sockets')
      .argument('[stack]', 'of this stack only')
      .option('--json', 'print the disks as JSON')
      .action((name: string | undefined, o: { json?: boolean }) =>
        list(name, o.json === true, context),
      );
    command
      .command('serve')
      .description('a disk through a stack of its own, on an NBD socket, until Ctrl-C')
      .argument('<disk>', 'file:PATH[,create=SIZE], block:PATH, mem:SIZE or null:SIZE')
      .argument('<socket>', 'absolute path of the socket')
      .option('--path <kind>', 'single, copy, translate or direct', 'single')
      .option('--readonly', 'nobody may write')
      .option('--json', 'print where it is as JSON')
      .action(
        (disk: string, socket: string, o: { path: CheckedDisk['path']; readonly?: boolean }) =>
          serve(disk, socket, o, context),
      );
    command
      .command('attach')
      .description('a disk to a guest of the outer layer of a running stack')
      .argument('<stack>')
      .argument('<guest>')
      .argument('<disk>', 'mem:SIZE; files where the stack is not isolated')
      .option('--user <spec>', 'none, gen or nbd:PATH', 'none')
      .option('--devid <n>', 'number of the device', devid, ATTACHED_FROM)
      .action((stack: string, guest: string, disk: string, o: { user: string; devid: number }) =>
        attach({ stack, guest, disk, ...o }, context),
      );
    command
      .command('detach')
      .description('a disk that was attached')
      .argument('<stack>')
      .argument('<guest>')
      .option('--devid <n>', 'number of the device', devid, ATTACHED_FROM)
      .action((stack: string, guest: string, o: { devid: number }) =>
        detach({ stack, guest, ...o }, context),
      );
    command
      .command('set')
      .description('after the file or device of a disk was resized')
      .argument('<stack>')
      .argument('<domain>', 'of the front on the outer layer: a guest, or L1')
      .requiredOption('--resize', 'the backend looks at the size now')
      .option('--devid <n>', 'number of the device', devid, 0)
      .action((stack: string, guest: string, o: { devid: number }) =>
        resize({ stack, guest, ...o }, context),
      );
  },
};
