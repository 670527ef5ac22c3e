// The JavaScript of the main package as it is published: one file for servers to load, and another for the command line.
// Loading sixty modules takes a process half as long again.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { root } from '../setup.mjs'

/** What both files load, so that each class of errors exists only once, whichever file throws it. */
const SHARED = 'lib/errors.js'

/** Files that stay apart. Addons are looked for beside `binding.js`; the command line runs migrations by `index.js`. */
const APART = ['binding.js', 'index.js', 'package.json', SHARED]

/** What is not published as it is in the repository. */
export const BUNDLED = ['bin', 'index.js', 'lib']

/** Writes `index.js`, the command line, and what both load, into the folder of a package. */
export async function bundle(directory) {
  for (const entry of ['index.js', 'bin/octoprompt-storage.js']) await bundleOne(entry, join(directory, entry))
  cpSync(join(root, SHARED), join(directory, SHARED))
}

async function bundleOne(entry, path) {
  const { outputFiles } = await build({
    entryPoints: [join(root, entry)],
    // The bundle names its modules by their paths from here.
    absWorkingDir: root,
    // The bundle has the place of its entry, so that the paths to the files that stay apart are still right.
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
