// What a storage of projects, their files and notes should answer, computed with plain maps.
import assert from 'node:assert/strict'
import { sha256 } from './index.js'

export type Doc = Record<string, any>
export type Target = 'projects' | 'notes' | number

/** A call on the projects, the notes, the files of the project with this id, or something else. */
export interface Call<T = Target> {
  target: T
  method: string
  args: any[]
  times?: number
  /** Aborts the call after so many turns of the event loop. */
  aborted?: number
}

const refused = (code: string) => ({ refused: code })
const byId = (one: Doc, other: Doc) => one.id - other.id
const bytes = (text: string) => Buffer.byteLength(text)
/** Leaves out what a caller may not set. */
const only = (given: Doc, names: string[]): Doc => Object.fromEntries(names.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]))
const PROJECT = ['name', 'description', 'path']
const FILE = ['name', 'path', 'extension', 'size', 'summary', 'meta', 'checksum', 'content']
const NOTE = ['title', 'size', 'tags', 'code', 'more']

export class Model {
  projects = new Map<number, Doc>()
  #notes = new Map<number, Doc>()
  #files = new Map<number, Map<number, Doc>>()
  #ids = new Set<number>()

  of(target: Target): Map<number, Doc> {
    if (typeof target !== 'number') return target === 'projects' ? this.projects : this.#notes
    let files = this.#files.get(target)
    if (files === undefined) this.#files.set(target, (files = new Map()))
    return files
  }

  /** Returns a model of the same state that changes apart from this one. */
  copy(): Model {
    const copy = new Model()
    copy.projects = new Map(this.projects)
    copy.#notes = new Map(this.#notes)
    copy.#files = new Map([...this.#files].map(([id, files]) => [id, new Map(files)]))
    copy.#ids = new Set(this.#ids)
    return copy
  }

  list(target: Target): Doc[] {
    return [...this.of(target).values()].sort(byId)
  }

  /** Returns what a call should answer, and changes the maps as the call does. Ids and times are those of the answer. */
  answer({ target, method, args }: Call, answer: any): unknown {
    const [first, second] = args
    const map = this.of(target)
    switch (method) {
      case 'reopen': return undefined
      case 'create': return this.#create(target, first, answer)
      case 'update': return this.#update(target, map.get(first), second, answer)
      case 'createMany': return this.#createMany(target, first, answer)
      case 'updateMany': return this.#updateMany(target, first, answer)
      case 'delete': return this.#delete(target, first)
      case 'deleteMany': return new Set(first.filter((id: number) => this.#delete(target, id))).size
      case 'deleteAll': return void [...map.keys()].forEach((id) => this.#delete(target, id))
      case 'writeAll': return this.#writeAll(target, first)
      case 'getById': return map.get(first) ?? null
      case 'list': return this.#listed(target, first)
      case 'iterate': return this.list(target)
      case 'readAll': return Object.fromEntries(map)
      case 'query': return this.#found(target, first)
      case 'count': return this.#found(target, first).length
      case 'findByName': return this.list(target).filter(({ name }) => name === first)
      case 'findBy': return this.list(target).filter(({ tags, code }) => (first === 'by_tag' ? tags.includes(second) : code === second))
      case 'findRange': return this.list(target).filter(({ size }) => size >= 0 && size <= 2).sort((one, other) => one.size - other.size)
      case 'rewrite': return this.#rewrite(target, first, second)
      case 'transaction': return this.#transaction(first, second, answer)
      default: return this.#ofFiles(target as number, map, method, args, answer)
    }
  }

  #ofFiles(project: number, files: Map<number, Doc>, method: string, [first, second, third]: any[], answer: any): unknown {
    const latest = this.list(project).filter(({ isLatest }) => isLatest)
    switch (method) {
      case 'getByPath': return latest.filter(({ path }) => path === first).at(-1) ?? null
      case 'getByExtension': return latest.filter(({ extension }) => extension === `.${first}`).sort((one, other) => Buffer.compare(Buffer.from(one.path), Buffer.from(other.path)))
      case 'search': return latest.filter(({ path, content }) => `${path}\n${content}`.toLowerCase().includes(first))
      case 'getVersions': return this.#chain(project, first)
      case 'createVersion': return this.#append(project, first, second, third, answer)
      case 'revertToVersion': {
        const earlier = this.#chain(project, first).find(({ version }) => version === second)
        return earlier === undefined ? refused('NOT_FOUND') : this.#append(project, first, earlier.content, {}, answer)
      }
      case 'createFromStream': {
        const created = this.#create(project, first, answer)
        return 'refused' in created ? created : withoutContent(created)
      }
      case 'content': return files.has(first) ? files.get(first)!.content.toWellFormed() : refused('NOT_FOUND')
      default: throw new Error(`no model of ${method}`)
    }
  }

  #listed(target: Target, options: { includeContent?: boolean; includeAllVersions?: boolean } = {}) {
    const list = this.list(target).filter(({ isLatest }) => options.includeAllVersions !== false || isLatest)
    return options.includeContent === false ? list.map(withoutContent) : list
  }

  #found(target: Target, { where, orderBy = {}, offset = 0, limit = Infinity }: Doc) {
    const fits = (doc: Doc) => (target === 'notes' ? doc.size >= where.size.$gte && !doc.tags.includes(where.tags.$ne) : where.path.$in.includes(doc.path))
    const found = this.list(target).filter(fits).sort((one, other) => {
      for (const [field, direction] of Object.entries(orderBy)) if (one[field] !== other[field]) return (one[field] < other[field]) === (direction === 'asc') ? -1 : 1
      return 0
    })
    return found.slice(offset, offset + limit)
  }

  /** The id and the times of a new entity. */
  #birth(answer: Doc) {
    assert.ok(!this.#ids.has(answer.id), `the id ${answer.id} was given before`)
    this.#ids.add(answer.id)
    assert.equal(answer.created, answer.updated)
    return { id: answer.id, created: answer.created, updated: answer.updated }
  }

  #create(target: Target, given: Doc, answer: Doc) {
    if (typeof target === 'number' && !this.projects.has(target)) return refused('NOT_FOUND')
    const fields = this.#fields(target, given)
    if (fields === undefined) return refused('ZodError')
    if (this.#isTaken(target, fields)) return refused('UNIQUE_VIOLATION')
    return this.#put(target, { ...fields, ...this.#birth(answer) })
  }

  #createMany(target: Target, given: Doc[], answer: Doc[]) {
    if (typeof target === 'number' && !this.projects.has(target)) return refused('NOT_FOUND')
    const all = given.map((one) => this.#fields(target, one)).filter((fields) => fields !== undefined)
    if (all.length < given.length) return refused('ZodError')
    if (all.some((fields) => this.#isTaken(target, fields)) || !areUnique(all)) return refused('UNIQUE_VIOLATION')
    return all.map((fields, at) => this.#put(target, { ...fields, ...this.#birth(answer[at]!) }))
  }

  #updateMany(target: Target, changes: Doc[], answer: any) {
    const refusals = new Set<string>()
    const after = new Map(this.of(target))
    const results = changes.map(({ id, data }, at) => {
      const before = after.get(id)
      const changed = before && this.#changed(target, before, data)
      if (changed === undefined) return void refusals.add(before === undefined ? 'NOT_FOUND' : 'ZodError')
      const updated = answer[at]?.updated
      const result = { ...changed, updated }
      after.set(id, result)
      return result
    })
    // If several things are wrong, any of them may be reported.
    if (refusals.size > 0) return refusals.has(answer.refused) ? answer : refused([...refusals].join())
    if (!areUnique([...after.values()])) return refused('UNIQUE_VIOLATION')
    for (const [id, { updated }] of after) assert.ok(updated >= this.of(target).get(id)!.updated, 'updated went backwards')
    after.forEach((doc) => this.#put(target, doc))
    return results
  }

  /** The fields of a new entity; undefined if they break a rule. */
  #fields(target: Target, given: Doc): Doc | undefined {
    if (target === 'projects') return { description: '', ...only(given, PROJECT) }
    if (target === 'notes') return noted(given)
    const file = only(given, FILE)
    const none = { summary: null, summaryLastUpdated: null, meta: '{}', checksum: null, prevId: null, nextId: null, originalFileId: null, lastSyncedAt: null, syncVersion: 0 }
    return { ...none, ...ofPath(file.path), size: bytes(file.content), ...file, projectId: target, version: 1, isLatest: true }
  }

  #isTaken(target: Target, { id, code }: Doc) {
    return target === 'notes' && code !== null && this.list('notes').some((note) => note.id !== id && note.code === code)
  }

  #put(target: Target, doc: Doc) {
    this.of(target).set(doc.id, doc)
    return doc
  }

  #update(target: Target, before: Doc | undefined, patch: Doc, answer: Doc) {
    if (before === undefined) return null
    const changed = this.#changed(target, before, patch)
    if (changed === undefined) return refused('ZodError')
    if (this.#isTaken(target, changed)) return refused('UNIQUE_VIOLATION')
    assert.ok(answer.updated >= before.updated, 'updated went backwards')
    return this.#put(target, { ...changed, updated: answer.updated })
  }

  #changed(target: Target, before: Doc, patch: Doc): Doc | undefined {
    const { id, created } = before
    if (target === 'projects') return { ...before, ...only(patch, PROJECT) }
    if (target !== 'notes') return laidOver(before, only(patch, FILE), patch.content !== undefined && patch.content !== before.content)
    const note = noted({ ...before, ...patch })
    return note && { ...note, id, created }
  }

  #delete(target: Target, id: number) {
    if (typeof target === 'number' && this.of(target).has(id)) {
      // The neighbours are linked to each other.
      const rest = this.#chain(target, id).filter((file) => file.id !== id)
      rest.forEach((file, at) => this.#put(target, {
        ...file, prevId: rest[at - 1]?.id ?? null, nextId: rest[at + 1]?.id ?? null, isLatest: at + 1 === rest.length, originalFileId: at === 0 ? null : rest[0]!.id,
      }))
    }
    const isThere = this.of(target).delete(id)
    if (target === 'projects' && isThere) this.#files.delete(id)
    return isThere
  }

  /** The versions of a file, given any of them. */
  #chain(project: number, id: number) {
    const files = this.of(project)
    const root = files.get(id)?.originalFileId ?? id
    return this.list(project).filter((file) => (file.originalFileId ?? file.id) === root).sort((one, other) => one.version - other.version || byId(one, other))
  }

  #append(project: number, id: number, content: string, extra: Doc, answer: Doc) {
    const last = this.#chain(project, id).at(-1) ?? this.of(project).get(id)
    if (last === undefined) return refused('NOT_FOUND')
    assert.ok(!this.#ids.has(answer.id) && answer.updated >= last.updated)
    this.#ids.add(answer.id)
    const { updated } = answer
    const place = { version: last.version + 1, prevId: last.id, nextId: null, isLatest: true, originalFileId: last.originalFileId ?? last.id }
    this.#put(project, { ...last, nextId: answer.id, isLatest: false, updated })
    return this.#put(project, { ...laidOver(last, { ...only(extra, FILE), content }, true), ...place, id: answer.id, updated })
  }

  #rewrite(target: Target, removed: number[], patches: [number, Doc][]) {
    const map = this.of(target)
    for (const [id, patch] of patches) {
      const before = map.get(id)!
      // In a whole map nothing is recomputed that is given.
      if (!removed.includes(id)) map.set(id, { ...before, ...patch })
    }
    for (const id of removed) {
      map.delete(id)
      if (target === 'projects') this.#files.delete(id)
    }
    return Object.fromEntries(map)
  }

  #writeAll(target: Target, given: Record<string, Doc>) {
    const docs = Object.values(given)
    if (!areUnique(docs)) return refused('UNIQUE_VIOLATION')
    const map = this.of(target)
    const gone = [...map.keys()].filter((id) => given[id] === undefined)
    for (const id of gone) {
      map.delete(id)
      if (target === 'projects') this.#files.delete(id)
    }
    for (const doc of docs) map.set(doc.id, doc)
    return Object.fromEntries(map)
  }

  #transaction(steps: Call[], isUndone: boolean, answers: any[]) {
    const before = [new Map(this.projects), new Map(this.#notes), new Map([...this.#files].map(([id, files]) => [id, new Map(files)]))] as const
    const expected = steps.map((step, at) => this.answer(step, answers[at]))
    if (isUndone) [this.projects, this.#notes, this.#files] = before
    return expected
  }
}

const withoutContent = ({ content: _, ...head }: Doc) => head

/** Whether no two notes have the same code. Only notes have one. */
function areUnique(docs: Doc[]) {
  const codes = docs.map(({ code }) => code ?? null).filter((code) => code !== null)
  return new Set(codes).size === codes.length
}

/** The fields of a note as its schema returns them and JSON holds them; undefined if it rejects them. */
function noted(given: Doc): Doc | undefined {
  const title = given.title.trim()
  const size = (given.size ?? 1) + 0
  return title === '' ? undefined : { tags: [], code: null, ...only(given, NOTE), title, size }
}

function ofPath(path: string) {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const dot = name.lastIndexOf('.')
  return { name, extension: dot > 0 ? name.slice(dot) : '' }
}

/** A file with a patch. New content brings its size and checksum, a new path its name and extension. */
function laidOver(before: Doc, patch: Doc, isNew: boolean): Doc {
  const sums = isNew ? { size: bytes(patch.content), checksum: sha256(patch.content) } : {}
  const names = patch.path === undefined ? {} : ofPath(patch.path)
  return { ...before, ...names, ...sums, ...patch }
}
