// The packages as they are published: the main one and one for each platform, as tarballs.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ADDONS, StepError, findAddon, root } from '../setup.mjs'
import { must } from './run.mjs'

export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

export const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)

/** `linux-x64-gnu` and so on, for every target. */
export const platforms = [
  'darwin-arm64', 'darwin-x64', 'linux-arm64-gnu', 'linux-arm64-musl', 'linux-x64-gnu', 'linux-x64-musl', 'win32-arm64-msvc',
  'win32-x64-msvc',
]

export const packageOf = (platform) => `${manifest.name}-${platform}`

/** The platform of the addons that are built here. */
export function thisPlatform() {
  const addon = findAddon(ADDONS[0])
  if (!addon) throw new StepError('the addons are not built: run `npm run build`')
  return basename(addon).split('.')[1]
}

/** A platform's package. Those of other machines get files in place of their addons: nothing may ever load them. */
function stagePlatform(directory, platform) {
  cpSync(join(root, 'npm', platform), directory, { recursive: true })
  for (const name of ADDONS) {
    const addon = join(directory, `${name}.${platform}.node`)
    if (platform === thisPlatform()) cpSync(findAddon(name), addon)
    else writeFileSync(addon, 'of another machine')
  }
}

/** The main package, with the optional dependencies that publishing adds. */
function stageMain(directory) {
  mkdirSync(directory)
  for (const file of [...manifest.files, 'LICENSE', 'README.md']) cpSync(join(root, file), join(directory, file), { recursive: true })
  const optionalDependencies = Object.fromEntries(platforms.map((platform) => [packageOf(platform), manifest.version]))
  writeJson(join(directory, 'package.json'), { ...manifest, optionalDependencies })
}

/** Packs everything below `directory`: `{ main, platforms }`, tarballs by platform, and what npm says of each. */
export async function pack(directory) {
  const stage = (name) => join(directory, 'stage', name)
  mkdirSync(join(directory, 'stage'), { recursive: true })
  stageMain(stage('main'))
  for (const platform of platforms) stagePlatform(stage(platform), platform)
  const names = ['main', ...platforms]
  const args = ['pack', '--json', '--silent', '--pack-destination', directory, ...names.map(stage)]
  const packed = Object.values(JSON.parse(await must('npm', args, { cwd: directory })))
  const named = new Map(packed.map((found) => [found.name, { ...found, tarball: join(directory, found.filename) }]))
  return {
    main: named.get(manifest.name),
    platforms: Object.fromEntries(platforms.map((platform) => [platform, named.get(packageOf(platform))])),
  }
}
