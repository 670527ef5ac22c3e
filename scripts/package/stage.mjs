// The packages as they are published: the main package, and one for each platform.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ADDONS, root } from '../setup.mjs'
import { BUNDLED, bundle } from './bundle.mjs'

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))

export const manifest = readJson(join(root, 'package.json'))

export const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)

/** `linux-x64-gnu` and so on, for every target. */
export const platforms = [
  'darwin-arm64', 'darwin-x64', 'linux-arm64-gnu', 'linux-arm64-musl', 'linux-x64-gnu', 'linux-x64-musl', 'win32-arm64-msvc',
  'win32-x64-msvc',
]

export const packageOf = (platform) => `${manifest.name}-${platform}`

/** Stages the main package: its JavaScript in a few files, and its platforms as optional dependencies. */
export async function stageMain(directory, more = {}) {
  const asTheyAre = manifest.files.filter((file) => !BUNDLED.includes(file))
  for (const file of [...asTheyAre, 'LICENSE', 'README.md']) cpSync(join(root, file), join(directory, file), { recursive: true })
  await bundle(directory)
  const optionalDependencies = Object.fromEntries(platforms.map((platform) => [packageOf(platform), manifest.version]))
  writeJson(join(directory, 'package.json'), { ...manifest, ...more, optionalDependencies })
}

/**
 * Creates the folders of all packages below `directory`: `main`, and one named after each platform.
 * @param putAddon puts the addon of a platform into its package: `(name, platform, path)`
 * @param more what is added to all manifests
 */
export async function stage(directory, putAddon, more = {}) {
  mkdirSync(directory, { recursive: true })
  await stageMain(join(directory, 'main'), more)
  for (const platform of platforms) {
    const place = join(directory, platform)
    cpSync(join(root, 'npm', platform), place, { recursive: true })
    for (const name of ADDONS) putAddon(name, platform, join(place, `${name}.${platform}.node`))
    writeJson(join(place, 'package.json'), { ...readJson(join(place, 'package.json')), ...more })
  }
}
