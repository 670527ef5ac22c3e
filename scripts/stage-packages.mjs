// `node scripts/stage-packages.mjs <directory>`: creates the packages that a release publishes, one folder each. The addons
// of every platform are in its folder below `npm`. `REPOSITORY` is where the packages come from: provenance is refused for a
// package that names another repository.
import { existsSync } from 'node:fs'
import { stage } from './package/stage.mjs'
import { StepError, main } from './setup.mjs'

await main(async () => {
  const [directory] = process.argv.slice(2)
  const { REPOSITORY: url } = process.env
  if (directory === undefined || url === undefined) throw new StepError('name a directory, and the repository in REPOSITORY')
  // The addon is already there, copied with the rest of the platform's folder.
  const putAddon = (name, platform, path) => {
    if (!existsSync(path)) throw new StepError(`the addon ${name} of ${platform} is missing`)
  }
  await stage(directory, putAddon, { repository: { type: 'git', url } })
})
