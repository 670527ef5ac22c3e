// `npm run power-loss -- FILE_SYSTEM…`: writers on a file system of Linux in a virtual machine whose disk is recorded; then,
// in a second virtual machine, the states in which a power loss may leave that disk, each mounted and checked. See
// power-loss/src/main.rs.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { StepError, main, parseArguments, root, run, step } from './setup.mjs'

const MIB = 1 << 20
// The smallest sizes that the tools for them agree to, in MiB.
const fileSystems = {
  ext4: { type: 'ext4', size: 64, options: 'commit=1', make: ['mkfs.ext4', '-q', '-F', '-b', '4096'] },
  'ext4-writeback': { type: 'ext4', size: 64, options: 'commit=1,data=writeback', make: ['mkfs.ext4', '-q', '-F', '-b', '4096'] },
  xfs: { type: 'xfs', size: 300, options: 'rw', make: ['mkfs.xfs', '-q', '-f'] },
  btrfs: { type: 'btrfs', size: 128, options: 'commit=1', make: ['mkfs.btrfs', '-q', '-f'] },
}
const target = 'x86_64-unknown-linux-musl'
const directory = join(root, 'target', 'power-loss')
const program = join(directory, target, 'debug', 'octoprompt-storage-power-loss')

const usage = `Usage: npm run power-loss -- FILE_SYSTEM… [options]

  FILE_SYSTEM      one of ${Object.keys(fileSystems).join(', ')}, or all
  --states N       how many states to check, each also after two more power losses; default: 1000
  --operations N   how many operations each writer carries out; default: 150
  --writers N      1 or 2 processes; only one that is alone makes and restores backups and rolls migrations back; default: 1
  --seed N         determines what is written, and what is lost; default: 1
  --mutant NAME    a wrong variant of the protocol, which must be caught: AcknowledgeUnsynced, or one that
                   power-loss/src/writer.rs names
  --kernel FILE    default: the newest /boot/vmlinuz-*
  --modules DIR    its modules, with modules.dep; default: the folder of its version in /lib/modules
  --kvm            uses the processor of this machine instead of an emulated one`

function readArguments() {
  const text = { type: 'string' }
  const options = { states: text, operations: text, writers: text, seed: text, mutant: text, kernel: text, modules: text, kvm: { type: 'boolean' } }
  const { values, positionals } = parseArguments(options, usage)
  const names = positionals.includes('all') ? Object.keys(fileSystems) : positionals
  const number = (name, ordinary) => Number(values[name] ?? ordinary)
  const numbers = { states: number('states', 1000), operations: number('operations', 150), writers: number('writers', 1), seed: number('seed', 1) }
  const right = Object.values(numbers).every((value) => Number.isSafeInteger(value) && value > 0) && numbers.writers <= 2
  if (names.length === 0 || !names.every((name) => name in fileSystems) || !right) throw new StepError(usage)
  return { names, ...numbers, mutant: values.mutant ?? '', kvm: values.kvm ?? false, ...findKernel(values) }
}

function findKernel({ kernel, modules }) {
  const kernels = existsSync('/boot') ? readdirSync('/boot').filter((name) => name.startsWith('vmlinuz-')) : []
  const newest = kernels.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).pop()
  const file = kernel ?? (newest && join('/boot', newest))
  const folder = modules ?? (file && join('/lib/modules', basename(file).replace('vmlinuz-', '')))
  if (!file || !existsSync(join(folder, 'modules.dep'))) throw new StepError(`There is no kernel with modules: name one.\n\n${usage}`)
  return { kernel: file, modules: folder }
}

async function succeed(command, args, options) {
  const { ok, output } = await run(command, args, options).catch((error) => {
    throw new StepError(`${command} could not be started: ${error.message}`)
  })
  if (!ok) throw new StepError(`${[command, ...args].join(' ')}\n${output}`)
  return output
}

async function build() {
  const manifest = join('power-loss', 'Cargo.toml')
  await succeed('cargo', ['build', '--quiet', '--manifest-path', manifest, '--target', target, '--target-dir', directory])
}

/** Returns the files of modules and of those that they need, in an order in which they can be loaded. */
function modulesOf(folder, wanted) {
  const lines = readFileSync(join(folder, 'modules.dep'), 'utf8').split('\n')
  const needed = new Map(lines.filter(Boolean).map((line) => line.split(':')).map(([file, rest]) => [file, rest.split(' ').filter(Boolean)]))
  const nameOf = (file) => basename(file).replace(/\.ko.*/, '').replaceAll('-', '_')
  const files = [...needed.keys()].filter((file) => wanted.includes(nameOf(file)))
  const order = (file) => wanted.indexOf(nameOf(file))
  files.sort((a, b) => order(a) - order(b))
  return [...new Set(files.flatMap((file) => [...needed.get(file).toReversed(), file]))]
}

/** Makes the first file system of the virtual machine, in memory: the program, and what it needs. */
async function makeRoot(args, type) {
  const folder = join(directory, 'root')
  rmSync(folder, { recursive: true, force: true })
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp', 'mnt', 'modules']) mkdirSync(join(folder, name), { recursive: true })
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find(existsSync)
  if (!busybox) throw new StepError('A busybox without shared libraries is needed (busybox-static).')
  cpSync(busybox, join(folder, 'bin', 'busybox'), { dereference: true })
  cpSync(program, join(folder, 'power-loss'))
  const wanted = ['virtio_pci', 'virtio_scsi', 'sd_mod', 'nbd', 'crc32c_generic', type]
  const files = modulesOf(args.modules, wanted)
  for (const file of files) cpSync(join(args.modules, file), join(folder, 'modules', basename(file)), { dereference: true })
  const init = [
    '#!/bin/busybox sh',
    ...['proc', 'sysfs', 'devtmpfs'].map((kind, at) => `/bin/busybox mount -t ${kind} none /${['proc', 'sys', 'dev'][at]}`),
    '/bin/busybox mount -t tmpfs -o size=90% none /tmp',
    ...files.map((file) => `/bin/busybox insmod /modules/${basename(file)}`),
    // Disks are found in the background, in any order.
    'disk() { while name=$(/bin/busybox ls /sys/bus/scsi/devices/0:0:0:$1/block 2>/dev/null); [ ! -b "/dev/$name" ]; do /bin/busybox usleep 10000; done; echo "/dev/$name"; }',
    'export POWER_DISK=$(disk 0)',
    '[ "$POWER_TASK" = check ] && export POWER_IMAGE=$(disk 1) POWER_FAILED=$(disk 2)',
    '/power-loss "$POWER_TASK"',
    '/bin/busybox poweroff -f',
  ]
  writeFileSync(join(folder, 'init'), `${init.join('\n')}\n`, { mode: 0o755 })
  const archive = join(directory, 'root.cpio')
  await succeed('sh', ['-c', `find . | ${busybox} cpio -o -H newc > ${JSON.stringify(archive)}`], { cwd: folder })
  return archive
}

/** Runs a virtual machine until it switches itself off. Returns the lines that the program in it printed. */
async function boot(args, archive, disks, settings) {
  // The kernel puts what it does not know of its command line into the environment.
  const environment = Object.entries(settings).map(([name, value]) => `POWER_${name}=${value}`)
  const attached = disks.flatMap((disk, at) => [
    '-blockdev', JSON.stringify({ 'node-name': `disk${at}`, ...disk }),
    '-device', `scsi-hd,drive=disk${at},scsi-id=0,lun=${at},write-cache=on,dpofua=on`,
  ])
  const output = await succeed('qemu-system-x86_64', [
    ...(args.kvm ? ['-accel', 'kvm', '-cpu', 'host'] : ['-accel', 'tcg', '-cpu', 'max']),
    '-m', '2048', '-nodefaults', '-no-reboot', '-display', 'none', '-serial', 'stdio',
    '-kernel', args.kernel, '-initrd', archive, '-append', `console=ttyS0 quiet panic=-1 ${environment.join(' ')}`,
    '-device', 'virtio-scsi-pci', ...attached,
  ])
  writeFileSync(join(directory, `${settings.TASK}.txt`), output)
  const lines = output.split(/\r?\n/).filter((line) => line.startsWith('#'))
  if (!lines.includes(`#done ${settings.TASK}`)) throw new StepError(output)
  return lines
}

async function record(args, archive, { make, size }, settings) {
  const [image, disk, log, socket] = ['image', 'disk', 'log', 'socket'].map((name) => join(directory, name))
  for (const file of [image, disk, log, socket]) rmSync(file, { force: true })
  writeFileSync(image, '')
  truncateSync(image, size * MIB)
  await succeed(make[0], [...make.slice(1), image])
  await succeed('cp', ['--sparse=always', image, disk])
  // The marks lie beyond the file system.
  truncateSync(disk, (size + 1) * MIB)
  const server = spawn(program, ['serve', disk, log, socket], { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = once(server, 'exit')
  let recorded
  try {
    while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 10))
    const lines = await boot(args, archive, [{ driver: 'nbd', server: { type: 'unix', path: socket } }], { ...settings, TASK: 'record' })
    await ended
    recorded = lines.find((line) => line.startsWith('#recorded')).slice('#recorded '.length)
  } finally {
    server.kill()
  }
  // Zeros end the log, and a disk has whole sectors.
  truncateSync(log, Math.ceil((statSync(log).size + 1) / MIB) * MIB)
  return { log, image, recorded }
}

async function lose(args, name) {
  const fileSystem = fileSystems[name]
  const archive = await makeRoot(args, fileSystem.type)
  const settings = {
    SIZE: fileSystem.size * MIB, FS: fileSystem.type, OPTIONS: fileSystem.options, SEED: args.seed, OPERATIONS: args.operations,
    WRITERS: args.writers, MUTANT: args.mutant, STATES: args.states,
  }
  const { log, image, recorded } = await record(args, archive, fileSystem, settings)
  const failed = join(directory, 'failed')
  rmSync(failed, { force: true })
  writeFileSync(failed, '')
  truncateSync(failed, fileSystem.size * MIB)
  const disks = [log, image, failed].map((filename) => ({ driver: 'file', filename, 'read-only': filename !== failed }))
  const lines = await boot(args, archive, disks, { ...settings, TASK: 'check' })
  const checked = `${recorded}; ${lines.find((line) => line.startsWith('#checked')).slice(1)}`
  const failures = lines.filter((line) => line.startsWith('#failed'))
  if (args.mutant && failures.length === 0) throw new StepError(`${checked}\nThe mutant was not caught.`)
  if (args.mutant || failures.length === 0) return checked
  throw new StepError([checked, ...failures, `The first of these states, before its file system is mounted: ${failed}`].join('\n'))
}

await main(async () => {
  const args = readArguments()
  await step('program', build)
  for (const name of args.names) await step(name, () => lose(args, name))
})
