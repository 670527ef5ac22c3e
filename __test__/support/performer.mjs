// Performs the calls that its parent sends, on instances with the given options of the storages of one directory.
import { z } from 'zod'
import { BaseStorage, IndexManager, ProjectStorageV2 } from '../../index.mjs'

const noteSchema = z.object({
  id: z.number(), title: z.string().trim().min(1), size: z.number().default(1), tags: z.array(z.string()).default([]),
  code: z.string().nullable().default(null), more: z.any().optional(), created: z.number(), updated: z.number(),
})

class Notes extends BaseStorage {
  static indexes = [
    { name: 'by_code', type: 'hash', fields: ['code'], unique: true },
    { name: 'by_size', type: 'btree', fields: ['size'] },
    { name: 'by_tag', type: 'hash', fields: ['tags'] },
  ]

  constructor(options) {
    super(z.record(z.string(), noteSchema), noteSchema, 'data/project_storage', options)
  }

  getIndexPath() {
    return 'notes.json'
  }

  getEntityPath() {
    return null
  }
}

/** Changes all objects in a value that a call was given or has returned: nothing may depend on them any more. */
function spoil(value) {
  if (typeof value !== 'object' || value === null || value.signal !== undefined) return
  Object.values(value).forEach(spoil)
  for (const key of Object.keys(value)) if (typeof value[key] !== 'object') value[key] = 'spoiled'
  if (Array.isArray(value)) value.push('spoiled')
  else value.spoiled = true
}

/** Returns options with a signal that is aborted after so many turns of the event loop, as an array; empty if it never is. */
function signalAfter(turns) {
  if (turns === undefined) return []
  const controller = new AbortController()
  const wait = (left) => (left > 0 ? setImmediate(wait, left - 1) : controller.abort())
  wait(turns)
  return [{ signal: controller.signal }]
}

class Performer {
  #options
  #storages

  constructor(basePath, options) {
    this.#options = { basePath, durability: 'os', ...options }
    this.#open()
  }

  #open() {
    const projects = new ProjectStorageV2(this.#options)
    const { basePath, durability } = this.#options
    this.#storages = { projects, notes: new Notes(this.#options), indexes: new IndexManager(basePath, 'data/indexed', { durability }) }
  }

  #storage(target) {
    return this.#storages[target] ?? (this.#storages[target] = this.#storages.projects.getFileStorage(target))
  }

  /** Returns the last answer to a call that is made several times, or the code of its error. */
  async perform({ target, method, args, times = 1, aborted }) {
    try {
      let answer
      for (; times > 0; times--) {
        spoil(answer)
        answer = await this.#call(target, method, structuredClone(args).concat(signalAfter(aborted)))
      }
      return answer
    } catch (error) {
      return { refused: error.code ?? error.name }
    }
  }

  async #call(target, method, args) {
    if (method === 'reopen') return this.#reopen()
    const storage = this.#storage(target)
    if (method === 'transaction') return this.#transaction(storage, target, ...args)
    if (method === 'iterate') return await this.#iterated(storage, ...args)
    if (method === 'createFromStream') return await this.#streamed(storage, ...args)
    if (method === 'content') return await new Response(storage.createContentStream(...args)).text()
    if (method === 'rewrite') args = [await this.#rewritten(storage, ...args)]
    const answer = storage[method === 'rewrite' ? 'writeAll' : method](...args)
    spoil(args)
    return await answer
  }

  async #iterated(storage, options) {
    const entities = []
    for await (const entity of storage.iterate(options)) entities.push(entity)
    return entities
  }

  async #streamed(storage, { content, ...file }) {
    const pieces = async function* () {
      for (let at = 0; at < content.length; at += 1000) yield await Promise.resolve(content.slice(at, at + 1000))
    }
    return await storage.createFromStream(file, pieces())
  }

  /** Returns the whole map with some entities removed and others changed. */
  async #rewritten(storage, removed, patches) {
    const map = await storage.readAll()
    for (const id of removed) delete map[id]
    for (const [id, patch] of patches) if (map[id] !== undefined) Object.assign(map[id], patch)
    return map
  }

  async #transaction(storage, target, steps, isUndone) {
    const answers = []
    const work = async (tx) => {
      answers.length = 0
      // It may run again.
      for (const step of structuredClone(steps)) {
        const scope = step.target === target ? tx : tx.in(this.#storage(step.target))
        const answer = scope[step.method](...step.args)
        spoil(step.args)
        answers.push(await answer.catch((error) => ({ refused: error.code ?? error.name })))
      }
      if (isUndone) throw new Error('undone')
    }
    await storage.transaction(work).catch((error) => {
      if (error.message !== 'undone') throw error
    })
    return answers
  }

  async #reopen() {
    await this.close()
    this.#open()
  }

  async close() {
    const { projects, notes, indexes } = this.#storages
    await Promise.all([projects, notes, indexes].map((storage) => storage.close()))
  }
}

const [base, options] = process.argv.slice(2)
const performers = JSON.parse(options).map((given) => new Performer(base, given))
process.on('message', async (orders) => {
  if (orders !== 'close') {
    for (const { n, at, call } of orders) performers[at].perform(call).then((answer) => process.send({ n, answer }))
    return
  }
  for (const performer of performers) await performer.close()
  process.disconnect()
})
