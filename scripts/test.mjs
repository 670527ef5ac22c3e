// `npm test`: sets up, then runs every check. `npm test -- STEP… [WORD…]` runs only the named steps, and of the JavaScript
// suites only the files whose names contain one of the words: `npm test -- node versions`.
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { StepError, main, root, run, setup, step } from './setup.mjs'

const totals = { passed: 0, failed: 0 }
const sum = (output, pattern) => [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0)

/** Returns a step that passes if its command does. */
const check = (command, args, advice) => async () => {
  const { ok, output } = await run(command, args).catch(explainMissing(command))
  if (!ok) throw new StepError(`${advice ? `${advice}\n\n` : ''}${[command, ...args].join(' ')}\n${output}`)
}

/** Collects what tests report to have reached, `reached: <what>: <numbers>`. The numbers of equal reports are added. */
function reached(output) {
  const table = new Map()
  for (const [, what, numbers] of output.matchAll(/reached: (.*?): (.*)/g)) {
    const words = numbers.split(/\d+/).join('#')
    const row = table.get(`${what}: ${words}`)
    const found = numbers.match(/\d+/g).map(Number)
    table.set(`${what}: ${words}`, row ? row.map((number, at) => number + found[at]) : found)
  }
  return [...table].sort().map(([text, numbers]) => {
    let at = 0
    const [what, words] = text.split(': ')
    return `    ${what}: ${words.replace(/#/g, () => numbers[at++].toLocaleString('en-US'))}`
  })
}

/** Returns a step that runs a test suite and adds its counts to the totals. */
const suite = (command, args, passedPattern, failedPattern) => async () => {
  const { ok, output } = await run(command, args).catch(explainMissing(command))
  const passed = sum(output, passedPattern)
  const failed = sum(output, failedPattern)
  totals.passed += passed
  totals.failed += failed
  if (!ok || failed > 0) {
    if (failed === 0) totals.failed += 1 // It broke outside of a test: a crash, or a file that does not load.
    throw new StepError(`${[command, ...args].join(' ')}\n${output}`)
  }
  if (passed === 0) throw new StepError(`${[command, ...args].join(' ')}\nran no test.\n${output}`)
  return [`${passed} passed`, ...reached(output)].join('\n')
}

const explainMissing = (command) => (error) => {
  throw new StepError(`${command} could not be started: ${error.message}`)
}

const bin = (name) => join(root, 'node_modules', name)

async function checkDrift() {
  const files = ['binding.js', 'binding.d.ts']
  const inside = await run('git', ['rev-parse', '--show-toplevel']).catch(() => ({ ok: false }))
  if (!inside.ok) return 'not a git checkout'
  const advice = 'The generated binding differs from what is committed: run `npm run build` and commit both files.'
  await check('git', ['ls-files', '--error-unmatch', ...files], advice)()
  await check('git', ['diff', '--exit-code', '--', ...files], advice)()
}

const suites = () => readdirSync(join(root, '__test__')).filter((file) => file.endsWith('.test.ts'))

function plan(words) {
  const files = suites()
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .map((file) => `./__test__/${file}`)
  // Much of what the suites do is waiting for the disk and for other processes.
  const sideBySide = 2 * availableParallelism()
  const nodeArgs = ['--import', 'tsx', '--test', '--test-reporter=tap', `--test-concurrency=${sideBySide}`]
  const clippyAdvice = 'If rustfmt or clippy is missing: `rustup component add rustfmt clippy`.'
  return {
    fmt: ['cargo fmt', check('cargo', ['fmt', '--all', '--check'], clippyAdvice)],
    clippy: ['cargo clippy', check('cargo', ['clippy', '--workspace', '--all-targets', '--quiet', '--', '-D', 'warnings'], clippyAdvice)],
    cargo: [
      'cargo test',
      suite('cargo', ['test'], /^test result: .*?(\d+) passed/gm, /^test result: .*?(\d+) failed/gm),
    ],
    loom: [
      'group commit, every interleaving',
      suite('cargo', ['test', '--manifest-path', 'loom/Cargo.toml', '--target-dir', 'target/loom'], /^test result: .*?(\d+) passed/gm, /^test result: .*?(\d+) failed/gm),
    ],
    drift: ['generated binding', checkDrift],
    types: ['types (tsc --strict)', check(process.execPath, [bin('typescript/bin/tsc'), '--noEmit', '-p', '.'])],
    bun: [
      'JavaScript suites, Bun',
      suite(bin('bun/bin/bun.exe'), ['test', '--timeout', '120000', `--parallel=${sideBySide}`, ...files], /^ *(\d+) pass$/gm, /^ *(\d+) fail$/gm),
    ],
    node: [
      'JavaScript suites, Node',
      suite(process.execPath, [...nodeArgs, ...files], /^# pass (\d+)$/gm, /^# fail (\d+)$/gm),
    ],
    package: ['package', check(process.execPath, ['scripts/test-package.mjs'])],
  }
}

async function test() {
  const args = process.argv.slice(2)
  const known = plan([])
  const words = args.filter((arg) => !(arg in known))
  const unknown = words.filter((word) => !suites().some((file) => file.includes(word)))
  if (unknown.length > 0) {
    throw new StepError(`No step and no suite has the name ${unknown.join(', ')}. The steps are ${Object.keys(known).join(', ')}.`)
  }
  const steps = plan(words)
  const chosen = args.filter((arg) => arg in steps)
  const names = chosen.length > 0 ? chosen : Object.keys(steps)
  await setup()
  for (const name of names) await step(...steps[name])
}

await main(test)
if (process.exitCode && totals.failed === 0) totals.failed = 1
if (totals.passed + totals.failed > 0) console.log(`${totals.passed} passed, ${totals.failed} failed`)
