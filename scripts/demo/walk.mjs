// Finding the files to store: those that git would list, except files that are not text or too large.
import { isUtf8 } from 'node:buffer'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, sep } from 'node:path'
import ignore from 'ignore'

const largest = 3 * 1024 * 1024
// The most content in total: as much as one JSON file of a demo should hold.
const most = 256 * 1024 * 1024
// How many bytes are examined. As in git, a NUL among them means that a file is binary.
const looked = 8000
const ignorecase = process.platform === 'win32' || process.platform === 'darwin'
const posix = (path) => (sep === '/' ? path : path.split(sep).join('/'))

/** Returns the rules of a directory's own .gitignore, added to the rules from the directories above it. */
function rulesIn(directory, above) {
  const file = join(directory, '.gitignore')
  if (!existsSync(file) || !statSync(file).isFile()) return above
  return [...above, { directory, rules: ignore({ ignorecase }).add(readFileSync(file, 'utf8')) }]
}

/** Returns the rules that apply to a directory because of the repository around it. */
function rulesAround(directory) {
  const chain = []
  for (let at = directory; ; at = dirname(at)) {
    if (at !== directory) chain.unshift(at)
    if (existsSync(join(at, '.git'))) return chain.reduce((rules, parent) => rulesIn(parent, rules), [])
    if (dirname(at) === at) return [] // Not in a repository.
  }
}

/** Whether a path is ignored. The rules of deeper .gitignore files override those above them. */
function isIgnored(path, isDirectory, rules) {
  for (const level of rules.toReversed()) {
    const { ignored, unignored } = level.rules.test(posix(relative(level.directory, path)) + (isDirectory ? '/' : ''))
    if (ignored || unignored) return ignored
  }
  return false
}

function isText(bytes) {
  return !bytes.subarray(0, looked).includes(0) && isUtf8(bytes)
}

/**
 * Lists the text files under some directories, in a stable order: `{ source, path }`, where `path` starts with the
 * directory's own name if there are several. `skipped` counts the others.
 */
export function walk(directories, limit) {
  const files = []
  const skipped = { binary: 0, large: 0, ignored: 0, links: 0, unread: 0, beyond: 0 }
  const prefixed = directories.length > 1
  let bytes = 0

  const visitFile = (source, root) => {
    const { size } = statSync(source)
    if (size > largest) skipped.large += 1
    else if (files.length >= limit || bytes + size > most) skipped.beyond += 1
    else if (!isText(readFileSync(source))) skipped.binary += 1
    else {
      bytes += size
      files.push({ source, path: posix(relative(prefixed ? dirname(root) : root, source)) })
    }
  }

  const visit = (directory, above, root) => {
    const rules = rulesIn(directory, above)
    const entries = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of entries) {
      const path = join(directory, entry.name)
      if (entry.name === '.git') continue
      if (entry.isSymbolicLink()) skipped.links += 1
      else if (isIgnored(path, entry.isDirectory(), rules)) skipped.ignored += 1
      else if (entry.isDirectory()) attempt(() => visit(path, rules, root))
      else if (entry.isFile()) attempt(() => visitFile(path, root))
    }
  }

  const attempt = (work) => {
    try {
      work()
    } catch (error) {
      if (!['EACCES', 'EPERM', 'ENOENT'].includes(error.code)) throw error
      skipped.unread += 1
    }
  }

  for (const root of directories) visit(root, rulesAround(root), root)
  return { files, skipped }
}

/** Describes in words what was left out; empty if nothing was. */
export function describeSkipped(skipped) {
  const words = {
    binary: 'binary',
    large: 'over 3 MB',
    ignored: 'ignored by git',
    links: 'symbolic links',
    unread: 'unreadable',
    beyond: 'beyond the limit',
  }
  const parts = Object.entries(words).filter(([kind]) => skipped[kind] > 0)
  return parts.map(([kind, word]) => `${skipped[kind]} ${word}`).join(', ')
}

/** Returns a file as the storage takes it. */
export const fileInput = ({ source, path }) => ({
  name: basename(path),
  path,
  content: readFileSync(source, 'utf8'),
})
