// What must not compile. If the line below an expected error has none, tsc fails.
import { BaseStorage, IndexManager, ProjectFileStorage, ProjectStorageV2, ProjectsStorageSchema, StorageError } from '@octoprompt/storage'
import { MigrationManager, addIndexesMigration } from '@octoprompt/storage'
import type { IndexConfig, MigrationContext, Project, StandardSchemaV1, StorageOptions } from '@octoprompt/storage'
import { z } from 'zod'
import { z as z3 } from 'zod3'

declare const storage: ProjectStorageV2
declare const files: ProjectFileStorage

// Options.
// @ts-expect-error a number, not a string
new ProjectStorageV2({ cacheTTL: '1000' })
// @ts-expect-error no such durability
new ProjectStorageV2({ durability: 'none' })
// @ts-expect-error no such option
new ProjectStorageV2({ cacheTtl: 1000 })
// @ts-expect-error options are an object
new ProjectStorageV2('/tmp')

// Projects.
// @ts-expect-error the path is missing
storage.create({ name: 'a' })
// @ts-expect-error the name is a string
storage.create({ name: 1, path: '/a' })
// @ts-expect-error no such field
storage.create({ name: 'a', path: '/a', colour: 'red' })
// @ts-expect-error the id is assigned
storage.create({ id: 1, name: 'a', path: '/a' })
// @ts-expect-error an id is required
storage.getById()
// @ts-expect-error an id is no object
storage.getById({ id: 1 })
// @ts-expect-error created stays
storage.update(1, { created: 5 })
// @ts-expect-error an array, not one project
storage.createMany({ name: 'a', path: '/a' })
// @ts-expect-error the data is missing
storage.updateMany([{ id: 1 }])
// @ts-expect-error an id is no object
storage.deleteMany([{ id: 1 }])
// @ts-expect-error both ends are required
storage.listByDateRange(new Date())
// @ts-expect-error a limit is a number
storage.getRecent('10')
// @ts-expect-error a promise is no array
storage.list().length
// @ts-expect-error what is found may be null
storage.getById(1).then((project) => project.name)
// @ts-expect-error the schemas' results are typed
ProjectsStorageSchema.parse({}) satisfies number

// Files.
// @ts-expect-error files come from getFileStorage
new ProjectFileStorage()
// @ts-expect-error the content is a string
files.create({ name: 'a', path: 'a', content: Buffer.from('a') })
// @ts-expect-error the chain is not the caller's
files.update(1, { isLatest: true })
// @ts-expect-error a list without content has none
files.list({ includeContent: false }).then(([file]) => file?.content.length)
// @ts-expect-error whether there is content is not known here
files.list({ includeContent: Math.random() > 0.5 }).then(([file]) => file?.content.length)
// @ts-expect-error an array, not one file
files.createMany({ name: 'a', path: 'a', content: '' })
// @ts-expect-error the data is missing
files.updateMany([{ id: 1 }])
// @ts-expect-error versions are numbers
files.getVersion(1, '2')
// @ts-expect-error the content is missing
storage.createFileVersion(1, 2)

// Indexes.
declare const indexes: IndexManager
// @ts-expect-error the directory is missing
new IndexManager('/tmp')
// @ts-expect-error the cache is not an index's
new IndexManager('/tmp', 'users', { maxCacheSize: 5 })
// @ts-expect-error no such type
indexes.createIndex({ name: 'a', type: 'tree', fields: ['a'] })
// @ts-expect-error fields are an array
indexes.createIndex({ name: 'a', type: 'hash', fields: 'a' })
// @ts-expect-error the fields are missing
indexes.createIndex({ name: 'a', type: 'hash' })
// @ts-expect-error an id is a number or a string
indexes.addToIndex('a', 5n, {})
// @ts-expect-error an entity is an object
indexes.addToIndex('a', 1, 'text')
// @ts-expect-error the entity is missing
indexes.addToIndex('a', 1)
// @ts-expect-error an object is no key
indexes.query('a', { city: 'Graz' })
// @ts-expect-error undefined is no key
indexes.query('a', undefined)
// @ts-expect-error a range has two ends
indexes.queryRange('a', 1)
// @ts-expect-error a query is a text
indexes.searchText('a', 5)
// @ts-expect-error entities have ids
indexes.rebuildIndex('a', [{ name: 'Ada' }])
// @ts-expect-error there may be no such index
indexes.getIndexStats('a').then(({ stats }) => stats)

// Errors.
declare const error: StorageError
// @ts-expect-error no such code
error.code === 'NO_SUCH_CODE'
// @ts-expect-error codes are read only
error.code = 'CLOSED'

// BaseStorage.
// @ts-expect-error abstract
new BaseStorage(z.unknown(), z.unknown(), 'data')

const entity = z.object({ id: z.number(), name: z.string(), created: z.number(), updated: z.number() })
type Entity = z.infer<typeof entity>

// @ts-expect-error both paths are abstract
class NoPaths extends BaseStorage<Entity> {}

// @ts-expect-error an entity needs created and updated
class NoTimes extends BaseStorage<{ id: number }> {
  protected getIndexPath() {
    return 'a.json'
  }
  protected getEntityPath() {
    return null
  }
}

abstract class WrongSchemas extends BaseStorage<Entity, Record<string, Entity>> {
  constructor(options: StorageOptions) {
    // @ts-expect-error the schema of one entity is not that of the map
    super(entity, entity, 'data', options)
  }
}

abstract class WrongEntity extends BaseStorage<Entity, Record<string, Entity>> {
  constructor() {
    // @ts-expect-error the schema lacks the name
    super(z.record(z.string(), entity), entity.omit({ name: true }), 'data')
  }
}

abstract class WrongEntity3 extends BaseStorage<Entity, Record<string, Entity>> {
  constructor(map: StandardSchemaV1<unknown, Record<string, Entity>>) {
    // @ts-expect-error zod 3: the name is a number
    super(map, z3.object({ id: z3.number(), name: z3.number(), created: z3.number(), updated: z3.number() }), 'data')
  }
}

abstract class NoDirectory extends BaseStorage<Entity, Record<string, Entity>> {
  constructor() {
    // @ts-expect-error the directory is missing
    super(z.record(z.string(), entity), entity)
  }
}

declare const own: BaseStorage<Entity, Record<string, Entity>>
// @ts-expect-error ids are numbers here
own.getById('1')
// @ts-expect-error the name is missing
own.create({})
// @ts-expect-error no such field
own.update(1, { title: 'a' })
// @ts-expect-error protected
own.basePath
// @ts-expect-error the map holds entities
own.writeAll({ 1: { id: 1 } })
// @ts-expect-error entities are not projects
own.list() satisfies Promise<Project[]>

// Indexes, and the calls that are open to subclasses.
// @ts-expect-error no such type of index
const trie: IndexConfig = { name: 'a', type: 'trie', fields: ['a'] }
// @ts-expect-error fields are an array
const field: IndexConfig = { name: 'a', type: 'hash', fields: 'a' }
// @ts-expect-error a key is no object
own.findBy('by_name', { name: 'a' })
// @ts-expect-error a key is required
own.findBy('by_name')
// @ts-expect-error a range has two ends
own.findRange('by_name', 1)
// @ts-expect-error words are a text
own.searchBy('by_name', 1)
// @ts-expect-error indexes are declared by storages of one's own
new ProjectStorageV2({ indexes: [] })
// @ts-expect-error protected
own.withLock('key', () => 1)
// @ts-expect-error read only
own.options.lockTimeout = 5

// @ts-expect-error indexes are configs
abstract class WrongIndexes extends BaseStorage<Entity> {
  static override indexes = ['name']
}

abstract class WrongCalls extends BaseStorage<Entity> {
  async wrong() {
    // @ts-expect-error read only
    this.options.lockTimeout = 5
    // @ts-expect-error read only
    this.options = {}
    // @ts-expect-error the default is what the schema gives
    await this.readValidatedJson('a.json', entity, {})
    // @ts-expect-error a schema is required
    await this.writeValidatedJson('a.json', {})
    // @ts-expect-error a lock is named by a text
    await this.withLock(1, () => 1)
    // @ts-expect-error ids are numbers here
    await this.idExists('1')
    // @ts-expect-error a promise is no boolean
    const exists: boolean = this.idExists(1)
    return exists
  }
}

// Migrations.
// @ts-expect-error a base path is needed
new MigrationManager()
// @ts-expect-error no such option
new MigrationManager('/tmp', { loger: null })
// @ts-expect-error a logger has three functions
new MigrationManager('/tmp', { logger: { info() {} } })
declare const manager: MigrationManager
// @ts-expect-error the description is missing
manager.register({ version: '1.0.0', up() {} })
// @ts-expect-error up is missing
manager.register({ version: '1.0.0', description: '' })
// @ts-expect-error versions are texts
manager.migrate(1)
// @ts-expect-error a rollback has a target
manager.rollback()
// @ts-expect-error read only
manager.basePath = '/tmp'
// @ts-expect-error cannot be changed
addIndexesMigration.version = '2.0.0'
// @ts-expect-error no such direction
const context: Pick<MigrationContext, 'direction'> = { direction: 'sideways' }
// @ts-expect-error restore keeps no backups
manager.restore('a', { keep: 1 })

export { trie, field, context, WrongIndexes, WrongCalls }
export { NoPaths, NoTimes, WrongSchemas, WrongEntity, WrongEntity3, NoDirectory }

// @ts-expect-error a string is no source of a content: it could be a path
files.createFromStream({ name: 'a', path: 'a' }, 'hello')
files.createFromStream({ name: 'a', path: 'a' }, ['hello'])

// Entities that are a union.
type Shape = { id: number; created: number; updated: number } & ({ kind: 'circle'; radius: number } | { kind: 'square'; side: number })
declare const shapes: BaseStorage<Shape>
shapes.create({ kind: 'circle', radius: 1 })
// @ts-expect-error a circle has a radius
shapes.create({ kind: 'circle' })
// @ts-expect-error a circle has no side
shapes.create({ kind: 'circle', side: 1 })
// @ts-expect-error the id is assigned
shapes.create({ kind: 'square', side: 1, id: 5 })
// @ts-expect-error a side is a number
shapes.update(1, { side: 'long' })
// @ts-expect-error created stays
shapes.update(1, { side: 1, created: 5 })
