// Entities that an earlier program kept as a JSON array, in a file beside the storage's own file.
import { BaseStorage } from '@octoprompt/storage'
import type { BaseEntity, BaseStorageOptions, StandardSchemaV1 } from '@octoprompt/storage'
import { z } from 'zod'

/**
 * A storage whose entities an earlier program kept as an array. The array is imported once: its elements are stored as one
 * batch, a copy of the file is kept as `<file>.imported`, and the file itself becomes an empty array. Each step may be
 * repeated, so a process that dies between them loses nothing and stores nothing twice.
 */
export abstract class ImportingStorage<
  TEntity extends BaseEntity & { id: string },
  TInput extends object = TEntity,
> extends BaseStorage<TEntity, Record<string, TEntity>, TInput> {
  private importing: Promise<void> | undefined

  constructor(entitySchema: StandardSchemaV1<unknown, TEntity>, dataDir: string, options?: BaseStorageOptions) {
    super(z.record(z.string(), entitySchema as unknown as z.ZodType<TEntity>), entitySchema, dataDir, options)
  }

  /** The file with the array, relative to the database. */
  protected abstract getArrayPath(): string
  /** The id under which an element is stored: always the same id for the same element. */
  protected abstract idOf(element: Record<string, unknown>, position: number): string
  /** The fields of an element as `create` takes them. */
  protected abstract fieldsOf(element: Record<string, unknown>, position: number): Record<string, unknown>

  /** Imports the array, if there is one. Call this before the first use. */
  async importArray(): Promise<void> {
    this.importing ??= this.withLock(`import ${this.getArrayPath()}`, () => this.importOnce())
    await this.importing
  }

  private async importOnce() {
    const schema = z.array(z.looseObject({}))
    const elements = await this.readValidatedJson(this.getArrayPath(), schema, [])
    if (elements.length === 0) return
    await this.transaction(async (tx) => {
      for (const [position, element] of elements.entries()) {
        const id = this.idOf(element, position)
        if (await tx.getById(id)) continue
        await tx.create({ ...this.fieldsOf(element, position), id } as never)
      }
    })
    await this.writeValidatedJson(`${this.getArrayPath()}.imported`, elements, schema)
    await this.writeValidatedJson(this.getArrayPath(), [], schema)
  }
}
