// What the suites of migrations and backups share.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MigrationManager } from '../../index.js'
import type { MigrationConfig, MigrationOptions } from '../../index.js'
import { dataPath, until, withDirectory } from './index.js'
import type { Context } from './index.js'

export const statePath = (base: string) => join(base, 'data', '.migration-state.json')

export interface ManagerContext extends Context {
  /** Opens a silent manager of `base`, which is closed at the end of the test. */
  manage(options?: MigrationOptions): MigrationManager
}

/** Makes the body of a test that has a directory and managers of it. */
export const withManagers = (work: (context: ManagerContext) => Promise<void>) =>
  withDirectory(async (context) => {
    const managers: MigrationManager[] = []
    const manage = (options: MigrationOptions = {}) => {
      const manager = new MigrationManager(context.base, { logger: null, ...options })
      managers.push(manager)
      return manager
    }
    try {
      await work({ ...context, manage })
    } finally {
      await Promise.all(managers.map((manager) => manager.close()))
    }
  })

/** Returns a migration that notes its version when it runs. */
export const noting = (notes: string[], version: string, fields: Partial<MigrationConfig> = {}): MigrationConfig => ({
  version,
  description: `about ${version}`,
  up: () => void notes.push(`up ${version}`),
  down: () => void notes.push(`down ${version}`),
  ...fields,
})

/** Puts old data, and files of another program, into a directory. */
export async function lay(base: string) {
  await cp(join(__dirname, '../fixtures/v1-data/project_storage'), dataPath(base), { recursive: true })
  const data = join(base, 'data')
  await write(join(data, 'notes.txt'), 'notes of somebody')
  await write(join(data, 'remove-me.bin'), Buffer.from([0, 255, 10, 13, 0]))
  await write(join(data, 'tree', 'deep', 'leaf.json'), '{"a": 1}')
  await write(join(data, 'tree', 'empty.txt'), '')
  await mkdir(join(data, 'empty'))
  await write(join(dataPath(base), 'beside.md'), '# beside')
}

export async function write(path: string, content: string | Uint8Array) {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content)
}

/**
 * Returns every file and directory under a directory by its path, files with their hash. Leaves out what belongs to the
 * engine alone: its folders, its lock files, and directories that contain only such a folder.
 */
export async function fingerprint(directory: string, skip: (path: string) => boolean = () => false): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    const name = path.slice(directory.length + 1).replaceAll('\\', '/')
    if (/(^|\/)\.(storage|migration|restore)(\/|$)/.test(name) || name.endsWith('.lock') || skip(name)) continue
    if (!entry.isDirectory()) found[name] = createHash('sha256').update(await readFile(path)).digest('hex')
    else if ((await readdir(path)).join() !== '.storage') found[name] = 'directory'
  }
  return Object.fromEntries(Object.entries(found).sort(([one], [other]) => (one < other ? -1 : 1)))
}

/** Returns the data of a base path, without the record of its migrations. */
export const dataOf = (base: string) => fingerprint(join(base, 'data'), (name) => name === '.migration-state.json')

/** Starts a process that migrates, and holds the data until it is told to continue. */
export async function holder(base: string, what: 'wait' | 'fail') {
  const child = spawn(process.execPath, [join(__dirname, 'migrator.mjs'), base, what], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines: any[] = []
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    lines.push(...parts.map((line) => JSON.parse(line)))
  })
  const closed = new Promise((resolve) => child.on('close', resolve))
  await until('the migration', () => lines.length > 0 || child.exitCode !== null)
  assert.equal(lines[0]?.waiting, child.pid)
  return {
    pid: child.pid!,
    async goOn() {
      child.stdin.write('go\n')
      await closed
      return lines.slice(1)
    },
    async kill() {
      child.kill('SIGKILL')
      await closed
    },
  }
}
