// `npm run soak -- [--minutes N]`: a storage lives a hard life beside a model: writers that are killed, checkpoints, edits
// by hand, streams, transactions, indexes, a change feed, backups, restores, migrations, a nearly full disk, verifying all the
// while. Ends with 1 when anything does not hold, or when memory or open handles grow.
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { StepError, main, setup } from './setup.mjs'

const usage = 'Usage: npm run soak -- [--minutes N] [--keep]'

function readArguments() {
  try {
    const { values } = parseArgs({ options: { minutes: { type: 'string' }, keep: { type: 'boolean' } } })
    const minutes = Number(values.minutes ?? 5)
    if (!(minutes > 0)) throw new Error('--minutes takes a number above 0')
    return { minutes, keep: values.keep ?? false }
  } catch (error) {
    throw new StepError(`${error.message}\n\n${usage}`)
  }
}

await main(async () => {
  const args = readArguments()
  await setup()
  // It needs what the set-up builds.
  const { soak } = await import('./soak/life.mjs')
  await soak({ ...args, canLimit: existsSync('/bin/sh') })
})
