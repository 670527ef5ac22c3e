// The messages that docs/troubleshooting.md shows are those that people see.
import assert from 'node:assert/strict'
import { appendFile, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager, MigrationManager, ProjectStorageV2 } from '../index.js'
import type { Project } from '../index.js'
import { caught, dataPath, fileInput, filesPath, projectsPath, until, warningOf, withDirectory, withProject } from './support/index.js'
import type { Context } from './support/index.js'
import { documents } from './support/documents.js'

const { prose } = documents().find(({ path }) => path === 'docs/troubleshooting.md')!

/** Removes what differs from case to case: numbers and the location of the data. */
const plain = (text: string, base: string) =>
  text.replaceAll(base, '/srv').replaceAll('\\', '/').replaceAll(/\d+/g, 'N').replaceAll(/\s+/g, ' ').replaceAll(/\S*\//g, '').replaceAll('…', '')

/** Returns the messages that the section of a code shows. */
function shown(code: string): string[] {
  const section = prose.split(`\n### ${code}\n`).slice(1).map((text) => text.split('\n### ')[0]!)
  const quotes = section.flatMap((text) => text.trim().split('\n\n').filter((part) => part.startsWith('> ')))
  return quotes.map((quote) => plain(quote.replaceAll(/^> /gm, ''), '/srv'))
}

function assertShown(code: string, message: string, base: string) {
  const messages = shown(code)
  assert.ok(messages.includes(plain(message, base)), `${code} shows\n${messages.join('\n')}\nand not\n${plain(message, base)}`)
}

type Trouble = (storage: ProjectStorageV2, project: Project, context: Context) => Promise<unknown>

/** Runs `work` with an index manager that has a unique index with one entity. */
const withIndex = (work: (indexes: IndexManager) => Promise<unknown>): Trouble => async (_storage, _project, { base }) => {
  const indexes = new IndexManager(base, 'data/shop')
  try {
    await indexes.createIndex({ name: 'by_code', type: 'hash', fields: ['code'], unique: true })
    await indexes.addToIndex('by_code', 1, { code: 'L1' })
    return await work(indexes)
  } finally {
    await indexes.close().catch(() => {})
  }
}

const errors: Record<string, Trouble> = {
  VALIDATION_ERROR: (storage) => storage.create({ name: '', path: 5 as never }),
  NOT_FOUND: (storage) => storage.addFile(5, fileInput('a')),
  ALREADY_EXISTS: withIndex((indexes) => indexes.createIndex({ name: 'by_code', type: 'hash', fields: ['code'] })),
  UNIQUE_VIOLATION: withIndex((indexes) => indexes.addToIndex('by_code', 2, { code: 'L1' })),
  INDEX_TYPE: withIndex((indexes) => indexes.queryRange('by_code', 'a', 'z')),
  LOCK_TIMEOUT: async (_storage, { id }, { open }) => open({ lockTimeout: 50 }).transaction(async (tx) => {
    await tx.getById(id)
    await new Promise(() => {})
  }),
  CONFLICT: (storage, { id }) => {
    let attempts = 0
    return storage.transaction(async (tx) => {
      await tx.getById(id)
      await storage.update(id, { description: `attempt ${++attempts}` })
      await tx.update(id, { name: 'b' })
    })
  },
  CORRUPT_DATA: async (_storage, _project, { base }) => {
    await withIndex(async () => {})(_storage, _project, { base } as Context)
    await writeFile(join(base, 'data/shop/indexes/by_code.json'), '{"1":5}')
    const indexes = new IndexManager(base, 'data/shop')
    try {
      await indexes.query('by_code', 'L1')
    } finally {
      await indexes.close().catch(() => {})
    }
  },
  CLOSED: async (storage) => {
    await storage.close()
    await storage.list()
  },
  INVALID_ARGUMENT: (storage, { id }) => storage.getFileStorage(id).query({ where: { size: { $gt: undefined } } } as never),
  ABORTED: (storage) => storage.query({ signal: AbortSignal.abort() }),
}

describe('the troubleshooting page shows the message of the error', () => {
  for (const [code, trouble] of Object.entries(errors)) {
    test(code, withProject(async (storage, project, context) => {
      const error = await caught(trouble(storage, project, context))
      assert.equal(error.code, code)
      assertShown(code, error.message, context.base)
    }))
  }
})

const warnings: Record<string, Trouble> = {
  SNAPSHOT_CHANGED: async (storage, _project, { base, open }) => {
    await storage.close()
    await writeFile(projectsPath(base), (await readFile(projectsPath(base), 'utf8')).replace('Sample', 'Edited'))
    await open().list()
  },
  RECORD_SET_ASIDE: async (storage, { id }, { base, open }) => {
    const file = await storage.addFile(id, fileInput('a.ts'))
    await storage.close()
    const text = await readFile(filesPath(base, id), 'utf8')
    await writeFile(filesPath(base, id), text.replace('"path":"a.ts"', '"path":null'))
    assert.equal(await open().readProjectFile(id, file.id), undefined)
  },
  TAIL_CUT: async (storage, _project, { base, open }) => {
    await storage.close()
    const folder = join(dataPath(base), '.storage')
    const journal = (await readdir(folder)).filter((name) => name.startsWith('journal-')).sort().at(-1)!
    await appendFile(join(folder, journal), '["half a line')
    await open().list()
  },
  LISTENER_FAILED: async (storage) => {
    let heard = false
    storage.on('change', () => {
      heard = true
      // For an error, the warning would include the stack.
      throw '…'
    })
    await storage.create({ name: 'b', path: '/b' })
    await until('the listener', () => heard)
  },
  LOGGER_FAILED: async (_storage, _project, { base }) => {
    const manager = new MigrationManager(base, { logger: () => { throw new Error('…') } })
    manager.register({ version: '1.0.0', description: 'nothing', up() {} })
    await manager.migrate()
    await manager.close()
  },
}

describe('the troubleshooting page shows the message of the warning', () => {
  for (const [code, trouble] of Object.entries(warnings)) {
    test(code, withProject(async (storage, project, context) => {
      const warning = await warningOf(code, () => trouble(storage, project, context))
      assertShown(code, warning.message, context.base)
    }))
  }
})
