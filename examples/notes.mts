// A note taker for the command line. Several instances may run at once.
//
//   node --import tsx examples/notes.mts add 'Buy milk' --tag home
//   node --import tsx examples/notes.mts list [--tag home] [--all]
//   node --import tsx examples/notes.mts search milk
//   node --import tsx examples/notes.mts done 1
//   node --import tsx examples/notes.mts remove 1
//
// Notes are kept in the folder that NOTES_DIRECTORY names, or in .notes in the home directory.
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BaseStorage, type BaseStorageOptions, type IndexConfig } from '@octoprompt/storage'
import { z } from 'zod'

const noteSchema = z.object({
  id: z.number(),
  /** The number that a person types: 1, 2, 3 … */
  number: z.number().int().positive(),
  text: z.string().trim().min(1),
  tags: z.array(z.string()),
  done: z.boolean().default(false),
  created: z.number(),
  updated: z.number(),
})
type Note = z.infer<typeof noteSchema>

class Notes extends BaseStorage<Note, Record<string, Note>, z.input<typeof noteSchema>> {
  static override indexes: IndexConfig[] = [
    { name: 'by_number', type: 'btree', fields: ['number'], unique: true },
    { name: 'by_tag', type: 'hash', fields: ['tags'] },
    { name: 'by_words', type: 'inverted', fields: ['text', 'tags'] },
  ]

  constructor(options?: BaseStorageOptions) {
    super(z.record(z.string(), noteSchema), noteSchema, 'data/notes', options)
  }

  protected getIndexPath() {
    return 'notes.json'
  }

  protected getEntityPath() {
    return null
  }

  /** Two concurrent calls get two numbers: the one that commits second runs again. */
  async add(text: string, tags: string[]): Promise<Note> {
    return this.transaction(async (tx) => {
      const [last] = await tx.query({ orderBy: { number: 'desc' }, limit: 1, select: ['number'] })
      return tx.create({ text, tags, number: (last?.number ?? 0) + 1 })
    })
  }

  async byNumber(number = ''): Promise<Note> {
    const [note] = /^\d+$/.test(number) ? await this.findBy('by_number', Number(number)) : []
    if (note === undefined) throw new UserError(`there is no note ${number}`.trimEnd())
    return note
  }
}

/** An error whose message is all that a person needs to see. */
class UserError extends Error {}

const line = ({ number, text, tags, done }: Note) => `${done ? '✓' : ' '} ${number} ${text}${tags.map((tag) => ` #${tag}`).join('')}`

async function run(notes: Notes): Promise<string[]> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { tag: { type: 'string', multiple: true, default: [] }, all: { type: 'boolean', default: false } },
  })
  const [command, ...words] = positionals
  switch (command) {
    case 'add':
      return [line(await notes.add(words.join(' '), values.tag))]
    case 'list': {
      const where = { ...(values.all ? {} : { done: false }), ...(values.tag.length > 0 ? { tags: { $in: values.tag } } : {}) }
      return (await notes.query({ where, orderBy: 'number' })).map(line)
    }
    case 'search':
      return (await notes.searchBy('by_words', words.join(' '))).map(line)
    case 'done': {
      const { id } = await notes.byNumber(words[0])
      return [line((await notes.update(id, { done: true }))!)]
    }
    case 'remove': {
      const note = await notes.byNumber(words[0])
      await notes.delete(note.id)
      return [`removed ${note.number}`]
    }
    default:
      throw new UserError('Usage: notes add TEXT [--tag TAG] | list [--tag TAG] [--all] | search WORDS | done NUMBER | remove NUMBER')
  }
}

const notes = new Notes({ basePath: process.env.NOTES_DIRECTORY ?? join(homedir(), '.notes') })
try {
  for (const text of await run(notes)) console.log(text)
} catch (error) {
  if (error instanceof UserError) console.error(error.message)
  else if (error instanceof z.ZodError) console.error('a note needs a text')
  else throw error
  process.exitCode = 1
} finally {
  await notes.close()
}
