// `npm run soak -- [--minutes N]`: stresses a storage and compares it with a model of its data: writers that are killed,
// checkpoints, edits by hand, streams, transactions, indexes, a change feed, backups, restores, migrations, a nearly full
// disk, and verification throughout. Exits with 1 if any check fails, or if memory or open handles grow.
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
  // This module needs what the set-up builds.
  const { soak } = await import('./soak/life.mjs')
  await soak({ ...args, canLimit: existsSync('/bin/sh') })
})
