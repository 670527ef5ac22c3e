// `npm run bench`: measures this package and the alternatives that people would use, and writes the results. See README.md.
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { main, setup, step } from '../scripts/setup.mjs'
import { describeMachine } from './lib/environment.mjs'
import { resultsDirectory, writeResults } from './lib/results.mjs'
import { loadPeers } from './peers/index.mjs'
import { checkpoints } from './rows/checkpoints.mjs'
import { creating } from './rows/creating.mjs'
import { fill } from './rows/filled.mjs'
import { growing } from './rows/growing.mjs'
import { idling } from './rows/idling.mjs'
import { loading } from './rows/loading.mjs'
import { memory } from './rows/memory.mjs'
import { opening } from './rows/opening.mjs'
import { reading } from './rows/reading.mjs'
import { server } from './rows/server.mjs'
import { updating } from './rows/updating.mjs'
import { written } from './rows/written.mjs'
import { closeAll } from './lib/sides.mjs'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    files: { type: 'string' },
    publish: { type: 'boolean', default: false },
  },
})

function benchOf(directory, peers, results) {
  const { quick } = options
  const gather = (kind) => (value) => results[kind].push(value)
  return {
    directory,
    peers,
    quick,
    sources: options.files,
    total: quick ? 1000 : 5000,
    rounds: quick ? 3 : 9,
    fewRounds: quick ? 1 : 5,
    add: gather('rows'),
    note: gather('notes'),
    grow: gather('growth'),
    latency: gather('latency'),
    idle: gather('idle'),
    /** Removes what the peers have stored under a name. */
    remove(name) {
      for (const entry of readdirSync(directory)) {
        if (entry.startsWith(`${name}-`)) rmSync(join(directory, entry), { recursive: true, force: true, maxRetries: 5 })
      }
    },
  }
}

async function measureFilled(bench) {
  const filled = await fill(bench)
  await reading(bench, filled)
  await updating(bench, filled)
  await checkpoints(bench, filled)
  await closeAll(filled.opened)
  await opening(bench, filled)
  bench.remove('filled')
}

const parts = { loading, creating, reading: measureFilled, server, growing, memory, written, idling }

await main(async () => {
  await setup()
  const { peers, missing } = await loadPeers()
  for (const line of missing) console.log(line)
  const names = options.only ?? Object.keys(parts)
  // Beside the results, because syncs would look too fast in a temporary directory that is in memory.
  const directory = join(resultsDirectory, `data-${process.pid}.tmp`)
  mkdirSync(directory, { recursive: true })
  const results = { machine: describeMachine(directory), quick: options.quick, rows: [], notes: [], growth: [], latency: [], idle: [] }
  try {
    const bench = benchOf(directory, peers, results)
    for (const name of names) await step(name, () => parts[name](bench))
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  }
  const text = writeResults(results, { partly: options.only !== undefined || (options.quick && !options.publish) })
  console.log(`\n${text}`)
  if (options.publish) await import('./publish.mjs')
  // A peer may leave a thread running that would keep this process alive.
  process.exit()
})
