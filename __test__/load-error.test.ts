// What a person reads if the addon does not load.
import assert from 'node:assert/strict'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { withDirectory } from './support/index.js'

const { PLATFORMS, loadError } = require('../lib/load-error.js')
const { version } = require('../package.json')
const root = join(__dirname, '..')

const LINUX = { platform: 'linux', arch: 'x64', libc: { name: 'glibc', version: '2.31' }, runtime: 'Node 22.0.0' }

/** Builds what the loader throws: its own words, and its attempts' messages as a chain of causes, the last one first. */
function loaderError(...attempts: Error[]) {
  const chain = attempts.reduce<Error | undefined>((cause, error) => Object.assign(error, { cause }), undefined)
  return new Error('Cannot find native binding.', { cause: chain })
}

const notFound = (name: string) => new Error(`Cannot find module '${name}'\nRequire stack:\n- binding.js`)

describe('the error of an addon that does not load', () => {
  test('says which package is missing, and why that may be', () => {
    const error = loadError(loaderError(notFound('./octoprompt-storage.linux-x64-gnu.node'), notFound('@octoprompt/storage-linux-x64-gnu')), LINUX)
    assert.equal(error.code, 'ADDON_NOT_LOADED')
    assert.equal(error.platform, 'linux-x64-gnu')
    assert.match(error.message, /\(linux-x64-gnu, glibc 2\.31, Node 22\.0\.0\)/)
    assert.ok(error.message.includes(`@octoprompt/storage-linux-x64-gnu@${version}`))
    assert.match(error.message, /--omit=optional/)
    assert.match(error.message, /bundle.*mark @octoprompt\/storage as external/)
  })

  test('has a single cause, which lists the attempts in their order', () => {
    const { cause } = loadError(loaderError(notFound('./local.node'), notFound('@octoprompt/storage-linux-x64-gnu')), LINUX)
    assert.equal(cause.message, "Tried:\n- Cannot find module './local.node'\n- Cannot find module '@octoprompt/storage-linux-x64-gnu'")
    assert.equal(cause.cause, undefined)
  })

  test('distinguishes musl from glibc', () => {
    const machine = { platform: 'linux', arch: 'arm64', libc: { name: 'musl' }, runtime: 'Bun 1.4.5' }
    assert.match(loadError(loaderError(notFound('x')), machine).message, /\(linux-arm64-musl, musl, Bun 1\.4\.5\).*storage-linux-arm64-musl@/)
  })

  test('names the package of every system', () => {
    const platformOf = (machine: object) => loadError(loaderError(notFound('x')), { ...machine, runtime: 'Node 22.0.0' })
    const windows = platformOf({ platform: 'win32', arch: 'arm64' })
    assert.match(windows.message, /\(win32-arm64-msvc, Node 22\.0\.0\).*storage-win32-arm64-msvc@/)
    assert.match(platformOf({ platform: 'darwin', arch: 'arm64' }).message, /\(darwin-arm64, Node 22\.0\.0\).*storage-darwin-arm64@/)
  })

  test('has what was thrown as its cause if that names no attempt', () => {
    const thrown = new Error('mine')
    assert.equal(loadError(thrown, LINUX).cause, thrown)
  })

  test('lists the supported platforms on an unsupported machine', () => {
    const { message, platform } = loadError(loaderError(new Error('Unsupported OS: sunos')), { platform: 'sunos', arch: 'x64', runtime: 'Node 22.0.0' })
    assert.equal(platform, 'sunos-x64')
    for (const name of PLATFORMS) assert.ok(message.includes(name), name)
    assert.match(message, /npm run build/)
  })

  test('includes the reason why the system refuses an addon that exists', () => {
    const refused = new Error("/lib/libc.so.6: version `GLIBC_2.99' not found (required by storage.node)")
    const { message } = loadError(loaderError(notFound('./local.node'), refused), LINUX)
    assert.match(message, /refuses to load it: .*GLIBC_2\.99.*not found.*musl/)
    assert.doesNotMatch(message, /not installed/)
  })

  test('recognises an addon built for another machine', () => {
    const { message } = loadError(loaderError(notFound('./local.node'), new Error('storage.node: invalid ELF header')), LINUX)
    assert.match(message, /built for another machine: remove node_modules/)
  })

  test('names the flag if Node loads no addons', () => {
    const { message } = loadError(loaderError(new Error('Cannot load native addon because loading addons is disabled.')), LINUX)
    assert.match(message, /addons is disabled\. Start Node .*--allow-addons\.$/)
  })

  test('says how a single executable application loads the package', () => {
    const { message } = loadError(loaderError(new Error('No such built-in module: ./storage.node')), LINUX)
    assert.match(message, /createRequire\(process\.execPath\)/)
    assert.doesNotMatch(message, /refuses|not installed/)
  })

  test('recognises an addon built for the other C library', () => {
    const { message } = loadError(loaderError(new Error('libc.musl-x86_64.so.1: cannot open shared object file')), LINUX)
    assert.match(message, /built for musl and this is glibc/)
  })
})

test('the error passes on any other reason as it is', () => {
  const { message } = loadError(loaderError(new Error('storage.node: file too short\nand more')), LINUX)
  assert.match(message, /the system refuses to load it: storage\.node: file too short$/)
})

test('the error knows exactly the platforms that have a package', () => {
  assert.deepEqual([...PLATFORMS].sort(), readdirSync(join(root, 'npm')).sort())
})

/** Loads a copy of the package without its addon, in a process that claims to be another machine if `platform` says so. */
async function load(base: string, prepare: (home: string) => Promise<unknown>, platform = process.platform) {
  const home = join(base, 'package')
  await mkdir(home)
  for (const part of ['index.js', 'binding.js', 'package.json', 'lib']) await cp(join(root, part), join(home, part), { recursive: true })
  await prepare(home)
  const code = `
    Object.defineProperty(process, 'platform', { value: '${platform}' })
    try { require(${JSON.stringify(join(home, 'index.js'))}) } catch ({ name, code, platform, message }) {
      console.log(JSON.stringify({ name, code, platform, message }))
    }`
  const output = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, ['-e', code], { cwd: base }, (error, stdout, stderr) => (error ? reject(new Error(stderr)) : resolve(stdout)))
  })
  return JSON.parse(output)
}

describe('require() of the package', () => {
  test('names the platform package that is not installed', withDirectory(async ({ base }) => {
    const { name, code, platform, message } = await load(base, async () => {})
    assert.deepEqual([name, code], ['StorageError', 'ADDON_NOT_LOADED'])
    assert.ok(message.includes(`@octoprompt/storage-${platform}@${version}, an optional dependency, is not installed`), message)
  }))

  test('names the C library and the runtime', withDirectory(async ({ base }) => {
    const { message } = await load(base, async () => {})
    const { bun, node } = process.versions
    const libc = process.platform === 'linux' ? '-(gnu, glibc [\\d.]+|musl, musl)' : ''
    assert.match(message, new RegExp(`\\(${process.platform}-[a-z\\d-]+${libc}, ${bun ? `Bun ${bun}` : `Node ${node}`}\\)`))
  }))

  test('says which addons exist on an unsupported machine', withDirectory(async ({ base }) => {
    const { platform, message } = await load(base, async () => {}, 'sunos' as NodeJS.Platform)
    assert.match(platform, /^sunos-/)
    assert.match(message, /There are addons for/)
  }))

  test('reports that the system refuses a file that is not an addon', withDirectory(async ({ base }) => {
    const addon = readdirSync(root).find((file) => /^octoprompt-storage\..*\.node$/.test(file))!
    const { message } = await load(base, (home) => writeFile(join(home, addon), 'no addon'))
    assert.match(message, /the system refuses to load it/)
  }))

  test('says what to do if a bundler replaced the addon by its path', withDirectory(async ({ base }) => {
    const { code, message } = await load(base, (home) => writeFile(join(home, 'binding.js'), "module.exports = './storage-7f3a.node'\n"))
    assert.equal(code, 'ADDON_NOT_LOADED')
    assert.match(message, /bundler put something else in its place.*mark @octoprompt\/storage as external/)
  }))
})

describe('the command without its addon', () => {
  for (const [form, args, messageOf] of [
    ['a line', [], (stderr: string) => stderr.match(/^error: (.*) \(ADDON_NOT_LOADED\)\n$/)?.[1]],
    ['JSON', ['--json'], (stderr: string) => (JSON.parse(stderr).error.code === 'ADDON_NOT_LOADED' ? JSON.parse(stderr).error.message : undefined)],
  ] as const) {
    test(`says why it cannot run, as ${form}`, withDirectory(async ({ base }) => {
      for (const part of ['bin', 'lib', 'package.json']) await cp(join(root, part), join(base, part), { recursive: true })
      const command = [join(base, 'bin', 'octoprompt-storage.js'), 'status', ...args]
      const { exit, stderr } = await new Promise<{ exit: unknown; stderr: string }>((resolve) => {
        execFile(process.execPath, command, { cwd: base }, (error, _, stderr) => resolve({ exit: error?.code, stderr }))
      })
      assert.equal(exit, 1)
      assert.match(messageOf(stderr) ?? stderr, /has no addon for this machine .* is not installed/)
    }))
  }
})
