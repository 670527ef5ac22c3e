// What the suites of IndexManager share.
import { join } from 'node:path'
import { IndexManager } from '../../index.js'
import type { IndexConfig, IndexType, StorageOptions } from '../../index.js'
import { withDirectory } from './index.js'

export const DATA_DIR = 'data/things'

export interface IndexContext {
  base: string
  /** Opens another manager on the same directory, closed at the end. */
  open(options?: Pick<StorageOptions, 'lockTimeout' | 'durability'>, dataDir?: string): IndexManager
}

/** Makes the body of a test that has an empty manager of its own. */
export const withIndexes = (work: (indexes: IndexManager, context: IndexContext) => Promise<void>) =>
  withDirectory(async ({ base }) => {
    const opened: IndexManager[] = []
    const open = (options: Pick<StorageOptions, 'lockTimeout' | 'durability'> = {}, dataDir = DATA_DIR) => {
      const manager = new IndexManager(base, dataDir, options)
      opened.push(manager)
      return manager
    }
    try {
      await work(open(), { base, open })
    } finally {
      await Promise.allSettled(opened.map((manager) => manager.close()))
    }
  })

/** Makes the body of a test that has an index `test` on these fields. */
export const withIndex = (
  type: IndexType,
  fields: string | string[],
  work: (indexes: IndexManager, context: IndexContext) => Promise<void>,
  options: Partial<IndexConfig> = {},
) =>
  withIndexes(async (indexes, context) => {
    await indexes.createIndex({ name: 'test', type, fields: [fields].flat(), ...options })
    await work(indexes, context)
  })

/** Adds entities to the index `test` under the ids 1, 2, 3 … */
export const addAll = async (indexes: IndexManager, entities: object[]) => {
  for (const [at, entity] of entities.entries()) await indexes.addToIndex('test', at + 1, entity)
}

export const indexFile = (base: string, name = 'test') => join(base, DATA_DIR, 'indexes', `${name}.json`)
export const definitionsFile = (base: string) => join(base, DATA_DIR, 'indexes.json')
