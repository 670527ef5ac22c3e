// `node scripts/stage-packages.mjs <directory>`: the packages that a release publishes, a folder each. The addons of every
// platform lie in its folder below `npm`; `REPOSITORY` is where the packages come from: provenance is refused for one that names
// another.
import { existsSync } from 'node:fs'
import { stage } from './package/stage.mjs'
import { StepError, main } from './setup.mjs'

await main(async () => {
  const [directory] = process.argv.slice(2)
  const { REPOSITORY: url } = process.env
  if (directory === undefined || url === undefined) throw new StepError('name a directory, and the repository in REPOSITORY')
  // With the rest of the platform's folder it is there already.
  const putAddon = (name, platform, path) => {
    if (!existsSync(path)) throw new StepError(`the addon ${name} of ${platform} is missing`)
  }
  await stage(directory, putAddon, { repository: { type: 'git', url } })
})
