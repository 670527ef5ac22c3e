// Keeps a project in step with a folder: new files are stored, changed files get a version, and files that no longer exist
// are removed with all their versions. A run takes effect as a whole or not at all.
//
//   node --import tsx examples/sync-folder.mts FOLDER [BASE PATH]
import { readFile, readdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { ProjectStorageV2, type ProjectFile } from '@octoprompt/storage'

const SKIPPED = new Set(['.git', 'node_modules', 'data', 'target', 'dist'])
/** Larger files are skipped. */
const MAX_BYTES = 1_000_000

interface Found {
  path: string
  content: string
}

/** Yields the text files of a folder. Paths are relative to it, with `/` between names. */
async function* textFiles(folder: string, below = ''): AsyncGenerator<Found> {
  const entries = await readdir(join(folder, below), { withFileTypes: true })
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (entry.isDirectory() && !SKIPPED.has(entry.name)) yield* textFiles(folder, path)
    if (!entry.isFile()) continue
    const bytes = await readFile(join(folder, path))
    const content = textOf(bytes)
    if (content === undefined) console.log(`passed over ${path}`)
    else yield { path, content }
  }
}

/** Decodes the bytes of a file; undefined if they are not text. */
function textOf(bytes: Buffer): string | undefined {
  if (bytes.length > MAX_BYTES || bytes.includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

export async function sync(storage: ProjectStorageV2, folder: string) {
  // Nothing is stored of a folder that cannot be read.
  const found: Found[] = []
  for await (const file of textFiles(folder)) found.push(file)
  const known = await storage.getByPath(folder)
  const project = known ?? (await storage.create({ name: basename(folder), path: folder }))
  const files = storage.getFileStorage(project.id)

  return files.transaction(async (tx) => {
    const counts = { created: 0, changed: 0, removed: 0, unchanged: 0 }
    // All versions, and the latest version of each path.
    const versions = await tx.list()
    const latest = new Map(versions.filter((file) => file.isLatest).map((file) => [file.path, file]))
    for (const { path, content } of found) {
      const file = latest.get(path)
      latest.delete(path)
      if (file === undefined) {
        await tx.create({ name: basename(path), path, content })
        counts.created += 1
      } else if (file.content !== content) {
        await tx.createVersion(file.id, content)
        counts.changed += 1
      } else counts.unchanged += 1
    }
    for (const gone of latest.values()) {
      for (const file of versions.filter((file) => rootOf(file) === rootOf(gone))) await tx.delete(file.id)
      counts.removed += 1
    }
    return counts
  })
}

/** The id of the first version in a file's chain. */
const rootOf = (file: ProjectFile) => file.originalFileId ?? file.id

const [folder, base = '.'] = process.argv.slice(2)
if (folder === undefined) {
  console.error('Usage: sync-folder FOLDER [BASE PATH]')
  process.exitCode = 2
} else {
  const storage = new ProjectStorageV2({ basePath: resolve(base) })
  try {
    const { created, changed, removed, unchanged } = await sync(storage, resolve(folder))
    console.log(`${created} new, ${changed} changed, ${removed} removed, ${unchanged} as they were`)
  } finally {
    await storage.close()
  }
}
