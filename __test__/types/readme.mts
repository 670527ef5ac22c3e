import path from 'node:path'
import { BaseStorage, type IndexConfig, type StorageOptions } from '@octoprompt/storage'
import { z } from 'zod'

const noteSchema = z.object({
  id: z.number(),
  title: z.string().trim().min(1),
  tags: z.array(z.string()).default([]),
  created: z.number(),
  updated: z.number(),
})
type Note = z.infer<typeof noteSchema>

class Notes extends BaseStorage<Note, Record<string, Note>, z.input<typeof noteSchema>> {
  static indexes: IndexConfig[] = [
    { name: 'by_title', type: 'hash', fields: ['title'], unique: true },
    { name: 'by_tag', type: 'hash', fields: ['tags'] },
    { name: 'by_updated', type: 'btree', fields: ['updated'] },
    { name: 'by_words', type: 'inverted', fields: ['title'] },
  ]

  constructor(options?: StorageOptions) {
    super(z.record(z.string(), noteSchema), noteSchema, 'notes', options)
  }

  protected getIndexPath() {
    return path.join(this.basePath, this.dataDir, 'index.json')
  }

  // Removed with its note: a file or a directory, anywhere under the base path.
  protected getEntityPath(id: number) {
    return path.join(this.basePath, 'attachments', String(id))
  }
}

const notes = new Notes({ basePath: '/tmp/try-notes' })
await notes.deleteAll()

const milk = await notes.create({ title: ' Buy milk ', tags: ['home'] })
await notes.create({ title: 'Call Ada' })
console.log(milk.title) // Buy milk
await Promise.all([notes.update(milk.id, { title: 'Buy bread' }), notes.update(milk.id, { tags: ['home', 'shop'] })])

console.log((await notes.findBy('by_tag', 'shop')).map((note) => note.title)) // [ 'Buy bread' ]
console.log((await notes.findRange('by_updated', milk.created, Date.now())).length) // 2
console.log((await notes.searchBy('by_words', 'call')).map((note) => note.title)) // [ 'Call Ada' ]
console.log(await notes.create({ title: 'Call Ada' }).catch((error) => error.code)) // UNIQUE_VIOLATION

await notes.close()
