// Real files: those of a given directory, or the sources of the crates that cargo downloaded to build this package.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join, relative } from 'node:path'

const largest = 100_000
const endings = /\.(rs|ts|tsx|js|mjs|cjs|json|md|toml|css|html|py|go|java|c|h|cc|cpp|yml|yaml)$/

function defaultDirectory() {
  const registry = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry', 'src')
  if (existsSync(registry)) return registry
  throw new Error('there are no sources of crates: name a directory of sources with --files <directory>')
}

/** Returns up to `count` files below a directory, as `create` takes them, in the same order in each run. */
export function sourceFiles(given, count) {
  const directory = given ?? defaultDirectory()
  const found = []
  const walk = (at) => {
    for (const entry of readdirSync(at, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(at, entry.name)
      if (found.length === count) return
      if (entry.isDirectory() && entry.name !== 'node_modules' && entry.name !== '.git') walk(path)
      else if (entry.isFile() && endings.test(entry.name) && statSync(path).size <= largest) found.push(path)
    }
  }
  walk(directory)
  return found.map((path) => ({ name: basename(path), path: relative(directory, path), content: readFileSync(path, 'utf8') }))
}
