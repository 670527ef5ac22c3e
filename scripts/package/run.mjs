// Commands that must succeed, and the runtimes on which programs are run.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StepError, root, run } from '../setup.mjs'

/** Returns what a command prints. The error of a failed command contains what it printed. */
export async function must(command, args, options = {}) {
  const { ok, output, code, signal } = await run(command, args, options)
  if (!ok) throw new StepError(`${command} ${args.join(' ')} ended with ${code ?? signal}\n${output}`)
  return output
}

/**
 * The releases of Node that are tried besides the one that runs this script. The registry has all of them only for Linux
 * with glibc; on other systems, only the one that runs this script is tried.
 */
const NODE_RELEASES = { 20: '20.20.2', 22: '22.23.3', 24: '24.21.0', 26: '26.12.1' }

export const bun = join(root, 'node_modules/bun/bin/bun.exe')

/** Returns the executable of a release of Node, which is installed below `target/` when it is first needed. */
async function nodeRelease(version) {
  const name = `node-linux-${process.arch}`
  const prefix = join(root, 'target', 'runtimes', version)
  const executable = join(prefix, 'node_modules', name, 'bin', 'node')
  if (existsSync(executable)) return executable
  mkdirSync(prefix, { recursive: true })
  writeFileSync(join(prefix, 'package.json'), '{"private":true}\n')
  const args = ['install', '--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--prefer-offline', `${name}@${version}`]
  const { ok, output } = await run('npm', args, { cwd: prefix })
  if (ok && existsSync(executable)) return executable
  throw new StepError(
    `The package is tried on Node ${version} too, which comes from the npm registry as ${name}; it could not be installed. ` +
      `Check the network and run this again.\n${output}`,
  )
}

/** Returns `[name, executable]` of every runtime that the package supports. */
export async function runtimes() {
  const own = process.versions.node.split('.')[0]
  const isGlibc = process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime !== undefined
  const others = isGlibc ? Object.entries(NODE_RELEASES).filter(([major]) => major !== own) : []
  const found = [[`Node ${own}`, process.execPath], ['Bun', bun]]
  for (const [major, version] of others) found.push([`Node ${major}`, await nodeRelease(version)])
  return found
}

/** Runs tasks, `width` at a time. */
export async function inParallel(tasks, width = 2) {
  const waiting = [...tasks]
  const worker = async () => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) await task()
  }
  await Promise.all(Array.from({ length: width }, worker))
}
