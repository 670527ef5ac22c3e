// What `npm test` and `npm run demo` need before they can start: the npm dependencies and the release addons.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

export const root = fileURLToPath(new URL('..', import.meta.url))
const windows = process.platform === 'win32'

/** An error whose message says all that a person needs to know. It is printed without a stack. */
export class StepError extends Error {}

/** Parses the command line of a script. What it does not know fails with its usage. */
export function parseArguments(options, usage) {
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    throw new StepError(`${error.message}\n\n${usage}`)
  }
}

/** Runs a command in the repository and collects what it prints. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: windows && command === 'npm',
      ...options,
    })
    const chunks = []
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.stderr.on('data', (chunk) => chunks.push(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve({ ok: code === 0, code, signal, output: Buffer.concat(chunks).toString() })
    })
  })
}

/** Runs one step and prints one line for it, with its time. `work` may return a short remark for that line. */
export async function step(name, work) {
  const live = process.stdout.isTTY
  if (live) process.stdout.write(`  … ${name}`)
  const start = performance.now()
  const line = (mark, remark) => {
    const time = `${((performance.now() - start) / 1000).toFixed(1)} s`.padStart(8)
    console.log(`${live ? '\r\x1b[K' : ''}${mark} ${name.padEnd(28)}${time}${remark ? `   ${remark}` : ''}`)
  }
  try {
    line('✓', await work())
  } catch (error) {
    line('✗')
    throw error
  }
}

/** Runs a script's main function. If a step fails, the process says why and exits with 1. */
export async function main(work) {
  try {
    await work()
  } catch (error) {
    console.error(error instanceof StepError ? `\n${error.message}` : error)
    process.exitCode = 1
  }
}

const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0)

function newest(directory, suffix) {
  return Math.max(
    0,
    ...readdirSync(directory, { recursive: true })
      .filter((file) => file.endsWith(suffix))
      .map((file) => modified(join(directory, file))),
  )
}

/** The addons to build: the one that servers load, and that of the command line. */
export const ADDONS = ['octoprompt-storage', 'octoprompt-storage-cli']

/** Returns the path of an addon as it was built for this machine, or undefined. */
export function findAddon(addon) {
  const prefix = `${addon}.${process.platform}-${process.arch}`
  const file = readdirSync(root).find((name) => name.startsWith(prefix) && name.endsWith('.node'))
  return file && join(root, file)
}

async function installDependencies() {
  const lock = modified(join(root, 'package-lock.json'))
  if (modified(join(root, 'node_modules', '.package-lock.json')) >= lock) return 'up to date'
  const { ok, output } = await run('npm', ['ci', '--no-audit', '--no-fund'])
  if (!ok) throw new StepError(`npm ci failed:\n${output}`)
  return 'npm ci'
}

function checkCargo() {
  if (!spawnSync('cargo', ['--version']).error) return
  throw new StepError('cargo was not found. Install Rust (https://rustup.rs), open a new terminal and run this again.')
}

function explainBuildFailure(output) {
  if (/linker `[^`]*` not found|link\.exe/.test(output)) {
    const advice = {
      linux: 'Install one with your package manager, e.g. `apt-get install build-essential` or `apk add build-base`.',
      darwin: 'Run `xcode-select --install`.',
      win32: 'Install the "Desktop development with C++" workload of the Visual Studio Build Tools.',
    }
    return `Rust found no C linker. ${advice[process.platform] ?? 'Install a C compiler.'} Then run this again.\n`
  }
  return ''
}

async function buildAddons() {
  checkCargo()
  const addons = ADDONS.map(findAddon)
  const built = addons.includes(undefined) ? 0 : Math.min(...addons.map(modified))
  const inputs = ['Cargo.toml', 'Cargo.lock', 'build.rs', 'binding.js', 'binding.d.ts'].map((file) => join(root, file))
  const sources = ['.rs', 'Cargo.toml'].map((suffix) => newest(join(root, 'src'), suffix))
  const generated = existsSync(join(root, 'binding.js')) && existsSync(join(root, 'binding.d.ts'))
  if (generated && built >= Math.max(...sources, ...inputs.map(modified))) return 'up to date'
  const { ok, output } = await run('npm', ['run', 'build'])
  if (!ok) throw new StepError(`${explainBuildFailure(output)}npm run build failed:\n${output}`)
  // A copied addon may have an older time than the files generated beside it.
  const now = new Date()
  for (const addon of ADDONS.map(findAddon)) utimesSync(addon, now, now)
  return 'npm run build'
}

/** Installs and builds what is missing or out of date. */
export async function setup() {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new StepError(`Node 20 or newer is needed; this is ${process.version}.`)
  }
  await step('dependencies', installDependencies)
  await step('release addons', buildAddons)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(setup)
