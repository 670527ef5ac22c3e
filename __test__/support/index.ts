// What the suites share. They run under both `node --test` and `bun test`.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdtemp, readFile, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ProjectStorageV2 } from '../../index.js'
import type { CreateProjectFile, Project, ProjectFile, StorageOptions, StorageStats } from '../../index.js'


export interface Context {
  /** An empty directory of this test, removed at the end of the test. */
  base: string
  /** Opens a storage on the directory, which is closed at the end of the test. */
  open(options?: StorageOptions): ProjectStorageV2
}

/** Removes a directory. Windows removes neither files of an open storage nor an addon that is loaded: they stay there. */
export const removeDirectory = (path: string) =>
  process.platform === 'win32'
    ? rm(path, { recursive: true, force: true }).catch(() => {})
    : rm(path, { recursive: true, force: true, maxRetries: 5 })

/** Makes the body of a test that has a directory of its own. */
export const withDirectory = (work: (context: Context) => Promise<void>) => async () => {
  const base = await mkdtemp(join(tmpdir(), 'octoprompt-storage-'))
  const opened: ProjectStorageV2[] = []
  const open = (options: StorageOptions = {}) => {
    const storage = new ProjectStorageV2({ basePath: base, ...options })
    opened.push(storage)
    return storage
  }
  try {
    await work({ base, open })
  } finally {
    await Promise.allSettled(opened.map((storage) => storage.close()))
    await removeDirectory(base)
  }
}

/** Makes the body of a test that has an empty storage of its own. */
export const withStorage = (work: (storage: ProjectStorageV2, context: Context) => Promise<void>) =>
  withDirectory((context) => work(context.open(), context))

/** Makes the body of a test that has a storage with one project. */
export const withProject = (work: (storage: ProjectStorageV2, project: Project, context: Context) => Promise<void>) =>
  withStorage(async (storage, context) => work(storage, await storage.create(projectInput()), context))

/** Makes the body of a test that has a copy of data that the old package wrote. */
export const withOldData = (work: (context: Context) => Promise<void>) =>
  withDirectory(async (context) => {
    await cp(join(__dirname, '../fixtures/v1-data/project_storage'), dataPath(context.base), { recursive: true })
    await work(context)
  })

export const projectInput = (name = 'Sample') => ({ name, path: `/srv/${name}` })

export const fileInput = (path: string, content = `content of ${path}`): CreateProjectFile => ({
  name: path.split('/').at(-1)!,
  path,
  content,
})

/** Returns a project as the whole-map calls take it. */
export const projectRecord = (id: number, fields: Partial<Project> = {}): Project => ({
  id,
  name: `Project ${id}`,
  description: '',
  path: `/srv/${id}`,
  created: 1_700_000_000_000,
  updated: 1_700_000_000_000,
  ...fields,
})

/** Returns a file as the whole-map calls take it. */
export const fileRecord = (id: number, projectId: number, fields: Partial<ProjectFile> = {}): ProjectFile => ({
  id,
  projectId,
  name: `${id}.ts`,
  path: `src/${id}.ts`,
  extension: '.ts',
  size: 4,
  content: 'text',
  summary: null,
  summaryLastUpdated: null,
  meta: '{}',
  checksum: null,
  created: 1_700_000_000_000,
  updated: 1_700_000_000_000,
  version: 1,
  prevId: null,
  nextId: null,
  isLatest: true,
  originalFileId: null,
  lastSyncedAt: null,
  syncVersion: 0,
  ...fields,
})

export const dataPath = (base: string) => join(base, 'data', 'project_storage')
export const projectsPath = (base: string) => join(dataPath(base), 'projects.json')
export const filesPath = (base: string, projectId: number) =>
  join(dataPath(base), 'project_data', String(projectId), 'files.json')

export const readJson = async (path: string): Promise<Record<string, Record<string, unknown>>> =>
  JSON.parse(await readFile(path, 'utf8'))

/** Returns how many batches something commits. Sequence numbers would not tell: checkpoints have some too. */
export async function batchesOf(storage: { stats(): Promise<StorageStats> }, work: () => Promise<unknown>) {
  const { batches } = (await storage.stats()).writes
  await work()
  return (await storage.stats()).writes.batches - batches
}

export const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** Returns what a promise is rejected with. */
export const caught = (promise: Promise<unknown>): Promise<any> =>
  promise.then(() => assert.fail('it should have been rejected'), (error) => error)

/** Returns the texts of the files that were set aside beside `path`, e.g. with the word `corrupt`. */
export async function setAside(path: string, word: string): Promise<string[]> {
  const prefix = `${path}.${word}-`
  const names = await readdir(dirname(path))
  const found = names.map((name) => join(dirname(path), name)).filter((name) => name.startsWith(prefix))
  return Promise.all(found.map((name) => readFile(name, 'utf8')))
}

/** Returns the files below a directory that this process has open, or undefined if the system does not tell. */
export async function openFiles(directory: string): Promise<string[] | undefined> {
  if (process.platform !== 'linux') return undefined
  const numbers = await readdir('/proc/self/fd')
  const paths = await Promise.all(numbers.map((number) => readlink(`/proc/self/fd/${number}`).catch(() => '')))
  return paths.filter((path) => path.startsWith(directory))
}

/** Polls until `check` returns something truthy; fails after a generous deadline. */
export async function until<T>(what: string, check: () => T | Promise<T>, deadline = 30_000): Promise<T> {
  const end = Date.now() + deadline
  for (;;) {
    const value = await check()
    if (value) return value
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Runs `work` and waits for a process warning with `code`. */
export async function warningOf(code: string, work: () => Promise<unknown>): Promise<Error> {
  const warnings: (Error & { code?: string })[] = []
  const listen = (warning: Error) => void warnings.push(warning)
  process.on('warning', listen)
  try {
    await work()
    const found = await until(`a warning ${code}`, () => warnings.find((warning) => warning.code === code))
    return found!
  } finally {
    process.off('warning', listen)
  }
}

/** How a message calls a process that holds a lock, by its number only where the system tells who holds one. */
export const named = (pid: number) => (process.platform === 'linux' ? `process ${pid}` : 'another process')

/** Stops a process. Returns false where the system does not tell who is stopped; nothing is done then. */
export async function stop(pid: number): Promise<boolean> {
  if (process.platform !== 'linux') return false
  process.kill(pid, 'SIGSTOP')
  await until('the stop', async () => (await readFile(`/proc/${pid}/stat`, 'utf8')).includes(') T '))
  return true
}

export interface ChildResult {
  /** Whole lines; text after the last newline is not included. */
  lines: string[]
  stderr: string
  code: number | null
  signal: NodeJS.Signals | null
}

export interface ChildOptions {
  cwd?: string
  /** Environment variables besides those of this process. */
  env?: Record<string, string>
  /** Called for every line; `kill` sends SIGKILL. */
  onLine?: (line: string, kill: () => void) => void
}

/** Runs a script of `support/` in a process of its own, under the runtime that runs the tests. */
export function runChild(script: string, args: string[], { cwd, env, onLine }: ChildOptions = {}): Promise<ChildResult> {
  const child = spawn(process.execPath, [join(__dirname, script), ...args], { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  let rest = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    for (const line of parts) {
      lines.push(line)
      onLine?.(line, () => child.kill('SIGKILL'))
    }
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ lines, stderr, code, signal }))
  })
}

/** Reads often enough for the next read to be answered from an object. */
export async function warm(read: () => Promise<unknown>) {
  for (let n = 0; n < 3; n++) await read()
}
