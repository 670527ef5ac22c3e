// `npm run fuzz -- TARGET [--minutes N]`: feeds a target of `fuzz/` with mutated inputs of its corpus. With cargo-fuzz and a
// nightly toolchain, coverage guides the inputs; without them, inputs are drawn at random on the stable toolchain.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { StepError, main, parseArguments, root } from './setup.mjs'

const targets = readdirSync(join(root, 'fuzz', 'corpus')).sort()
const usage = `Usage: npm run fuzz -- TARGET [--minutes N] [--stable]

  TARGET     one of ${targets.join(', ')}, or all
  --minutes  how long; default: 1
  --stable   without cargo-fuzz, even where it is installed`

function readArguments() {
  const options = { minutes: { type: 'string' }, stable: { type: 'boolean' } }
  const { values, positionals } = parseArguments(options, usage)
  const minutes = Number(values.minutes ?? 1)
  const [target] = positionals
  if (positionals.length !== 1 || !(target === 'all' || targets.includes(target)) || !(minutes > 0)) throw new StepError(usage)
  return { target, minutes, stable: values.stable ?? false }
}

const succeeds = (command, args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0

/** Runs a command in the foreground. */
function show(command, args, env = {}) {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve() : reject(new StepError(`${command} ended with ${code}; inputs that fail are kept in fuzz/artifacts`))))
  })
}

await main(async () => {
  const { target, minutes, stable } = readArguments()
  if (!stable && succeeds('cargo', ['+nightly', 'fuzz', '--version'])) {
    const wanted = target === 'all' ? targets : [target]
    for (const name of wanted) {
      const seconds = Math.ceil((minutes * 60) / wanted.length)
      // Inputs that reach something new are collected outside the corpus, which stays small: `cargo +nightly fuzz cmin`
      // shows which of them are worth keeping.
      const found = join('fuzz', 'target', 'found', name)
      mkdirSync(join(root, found), { recursive: true })
      // The targets exercise safe Rust. Without the address sanitizer, they run several times as fast.
      await show('cargo', ['+nightly', 'fuzz', 'run', '--sanitizer', 'none', name, found, join('fuzz', 'corpus', name), '--', `-max_total_time=${seconds}`])
    }
    return
  }
  const args = ['test', '--test', 'fuzzing', 'random', '--', '--nocapture']
  await show('cargo', args, { FUZZ_TARGET: target, FUZZ_MINUTES: String(minutes) })
})
