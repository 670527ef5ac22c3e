// The default input: the sources of the crates that cargo downloaded to build this package.
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { StepError, run } from '../setup.mjs'

async function hostTriple() {
  const { ok, output } = await run('rustc', ['-vV'])
  return ok ? output.match(/^host: (.+)$/m)?.[1] : undefined
}

/** Returns the directories of the crates, each with thousands of lines that people wrote. */
export async function crateDirectories() {
  const host = await hostTriple()
  const filter = host ? ['--filter-platform', host] : []
  const args = ['metadata', '--quiet', '--format-version', '1', '--locked', ...filter]
  const { ok, output } = await run('cargo', args)
  // Warnings may precede the JSON.
  const json = output.split('\n').find((line) => line.startsWith('{'))
  if (!ok || !json) {
    throw new StepError(`cargo metadata failed; name a directory instead: npm run demo -- <directory>\n\n${output}`)
  }
  const manifests = JSON.parse(json).packages.filter(({ source }) => source).map((found) => found.manifest_path)
  return manifests.map((manifest) => dirname(manifest)).filter((directory) => existsSync(directory)).sort()
}
