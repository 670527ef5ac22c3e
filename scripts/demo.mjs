// `npm run demo [-- DIRECTORY] [--keep]`: sets up, stores a real source tree through the public API, tests it, and prints
// the measurements. Exits with 1 if any check fails.
import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { StepError, main, setup } from './setup.mjs'

const usage = `Usage: npm run demo -- [DIRECTORY] [--keep] [--limit FILES]

  DIRECTORY  what to store; default: the sources of the Rust crates that this package is built from
  --keep     keep the data and say where it lies
  --limit    the most files that are stored; default: 8000`

function readArguments() {
  const options = { keep: { type: 'boolean' }, limit: { type: 'string' }, help: { type: 'boolean', short: 'h' } }
  const parse = () => {
    try {
      return parseArgs({ options, allowPositionals: true })
    } catch (error) {
      throw new StepError(`${error.message}\n\n${usage}`)
    }
  }
  const { values, positionals } = parse()
  const limit = Number(values.limit ?? 8000)
  if (!Number.isInteger(limit) || limit < 1 || positionals.length > 1) throw new StepError(usage)
  const directory = positionals[0] && resolve(process.env.INIT_CWD ?? '.', positionals[0])
  if (directory && !(existsSync(directory) && statSync(directory).isDirectory())) {
    throw new StepError(`${directory} is not a directory.`)
  }
  return { directory, limit, keep: values.keep ?? false, help: values.help ?? false }
}

await main(async () => {
  const args = readArguments()
  if (args.help) {
    console.log(usage)
    return
  }
  await setup()
  // These modules need what the set-up installs and builds.
  const { demonstrate } = await import('./demo/story.mjs')
  await demonstrate(args)
})
