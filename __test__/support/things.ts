// A storage as callers write it: entities with a zod schema, in a file of its own.
import { join } from 'node:path'
import { z } from 'zod'
import { BaseStorage } from '../../index.js'
import type { CallOptions, IndexConfig, StandardSchemaV1, StorageOptions } from '../../index.js'
import { withDirectory } from './index.js'

export interface Thing {
  id: number
  name: string
  size: number
  created: number
  updated: number
}

/** `size` has a default, `name` is trimmed; unknown properties stay. */
export const thingSchema = z.looseObject({
  id: z.number(),
  name: z.string().trim().min(1),
  size: z.number().default(1),
  created: z.number().default(0),
  updated: z.number().default(0),
}) as unknown as StandardSchemaV1<unknown, Thing>

export const anything: StandardSchemaV1<unknown, Record<string, Thing>> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as Record<string, Thing> }) },
}

export interface ThingOptions extends StorageOptions {
  schema?: unknown
  /** Validates the map in `writeAll`. */
  mapSchema?: unknown
  dataDir?: string
  /** Relative to the base path. */
  file?: string | undefined
  entityPath?: (id: number) => string | null
  indexes?: readonly IndexConfig[]
}

export class Things extends BaseStorage<Thing, Record<string, Thing>, Omit<Thing, 'size'> & { size?: number }> {
  given: ThingOptions

  constructor(given: ThingOptions) {
    const { schema = thingSchema, mapSchema = anything, dataDir = 'data', file: _, entityPath: __, ...options } = given
    super(mapSchema as typeof anything, schema as StandardSchemaV1<unknown, Thing>, dataDir, options)
    this.given = given
  }

  protected getIndexPath() {
    return join(this.basePath, this.given.file ?? join(this.dataDir, 'things.json'))
  }

  protected getEntityPath(id: number) {
    return this.given.entityPath?.(id) ?? null
  }

  get optionsInForce() {
    return this.options
  }

  /** Returns the calls that only subclasses may make, for the tests. */
  protectedCalls() {
    return {
      readValidatedJson: <T>(file: string, schema: StandardSchemaV1<unknown, T>, fallback: T) => this.readValidatedJson(file, schema, fallback),
      writeValidatedJson: <T>(file: string, data: unknown, schema: StandardSchemaV1<unknown, T>) => this.writeValidatedJson(file, data, schema),
      withLock: <T>(key: string, work: () => T | Promise<T>, options?: CallOptions) => this.withLock(key, work, options),
      ensureDirExists: (directory: string) => this.ensureDirExists(directory),
      invalidateCache: (key?: number) => this.invalidateCache(key),
      idExists: (id: number) => this.idExists(id),
    }
  }
}

/** Returns a thing as it is stored in a file. */
export const thing = (id: number, fields: Partial<Thing> = {}): Thing => ({
  id, name: `thing ${id}`, size: id, created: 5, updated: 5, ...fields,
})

/** Makes the body of a test that has a storage of things. */
export const withThings = (work: (things: Things, base: string) => Promise<void>, options: Partial<ThingOptions> = {}) =>
  withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, ...options })
    try {
      await work(things, base)
    } finally {
      await things.close()
    }
  })
