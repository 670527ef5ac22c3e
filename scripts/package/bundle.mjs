// The JavaScript of the main package as it is published: what servers load is one file, and the command line another. Sixty
// modules take a process half as long again to load.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { root } from '../setup.mjs'

/** What both files load: of each class of errors there is one, whoever throws it. */
const SHARED = 'lib/errors.js'

/** What stays a file of its own. Addons are looked for beside `binding.js`; the command line runs migrations by `index.js`. */
const APART = ['binding.js', 'index.js', 'package.json', SHARED]

/** What is not published as it is. */
export const BUNDLED = ['bin', 'index.js', 'lib']

/** Writes `index.js`, the command line, and what both load into the folder of a package. */
export async function bundle(directory) {
  for (const entry of ['index.js', 'bin/octoprompt-storage.js']) await bundleOne(entry, join(directory, entry))
  cpSync(join(root, SHARED), join(directory, SHARED))
}

async function bundleOne(entry, path) {
  const { outputFiles } = await build({
    entryPoints: [join(root, entry)],
    // It lies where it lay: what stays apart is found by the same way.
    outfile: join(root, entry),
    write: false,
    bundle: true,
    external: APART.map((file) => join(root, file)),
    platform: 'node',
    target: 'node20',
    charset: 'utf8',
    keepNames: true,
    logLevel: 'warning',
  })
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, outputFiles[0].contents)
}
